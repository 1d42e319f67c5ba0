"""Running passes periodically: one that fails is logged and runs again next time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event

from abaca.errors import Stopping

_LOG = logging.getLogger(__name__)


def repeat(name: str, work: Callable[[], None], every_seconds: float, stopping: Event) -> None:
    """Run the pass every so many seconds until stopped."""
    while not stopping.wait(every_seconds):
        once(name, work)


def once(name: str, work: Callable[[], None]) -> None:
    """Run the pass; log an error, which the next run may mend. Ends early if the worker stops."""
    try:
        work()
    except Stopping:
        _LOG.info("pass %s ends with the worker", name)
    except Exception:
        _LOG.exception("pass %s failed; it runs again at its next time", name)
