"""Whether a back end is up, by its worker's last heartbeat, even if a clock was set meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from abaca.db.session import utcnow


def is_up(service: Mapping[Any, Any]) -> bool:
    """Whether the service of this row (is_ready, expires_at, created_at, updated_at) is ready and
    its last heartbeat has not expired.

    A heartbeat from the future was made before the clock was set back, and does not count:
    otherwise it would be valid until that future. The clocks of two machines may differ by the
    lifetime of a heartbeat.
    """
    given, until, now = (
        service["updated_at"] or service["created_at"],
        service["expires_at"],
        utcnow(),
    )
    return bool(service["is_ready"]) and given - (until - given) <= now < until
