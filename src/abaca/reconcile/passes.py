"""Running passes periodically: one that fails is logged and runs again next time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event

from abaca.errors import Stopping

_LOG = logging.getLogger(__name__)


LEAST_REST = 0.25
"""Of the time between two beginnings."""


def repeat(
    name: str,
    work: Callable[[], None],
    every_seconds: float,
    stopping: Event,
    *,
    is_paced: bool = False,
) -> None:
    """Run the pass every so many seconds until stopped. `is_paced`: seconds from its beginning, not
    from its end."""
    pause = every_seconds
    while not stopping.wait(pause):
        began = time.monotonic()
        once(name, work)
        if is_paced:
            rest = every_seconds - (time.monotonic() - began)
            pause = max(rest, every_seconds * LEAST_REST)


def once(name: str, work: Callable[[], None]) -> None:
    """Run the pass; log an error, which the next run may mend. Ends early if the worker stops."""
    try:
        work()
    except Stopping:
        _LOG.info("pass %s ends with the worker", name)
    except Exception:
        _LOG.exception("pass %s failed; it runs again at its next time", name)
