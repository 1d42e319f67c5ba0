"""Whether a back end is up, by the last heartbeat that its worker gave, also when a clock has
been set since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from abaca.db.session import utcnow


def is_up(service: Mapping[Any, Any]) -> bool:
    """Whether the service of this row (is_ready, expires_at, created_at, updated_at) is ready and
    its heartbeat still holds.

    One that comes from the future was given before the clock was set back, and says nothing: it
    must not hold until that future has come. Clocks of machines may differ by as long as a sign
    lasts.
    """
    given, until, now = (
        service["updated_at"] or service["created_at"],
        service["expires_at"],
        utcnow(),
    )
    return bool(service["is_ready"]) and given - (until - given) <= now < until
