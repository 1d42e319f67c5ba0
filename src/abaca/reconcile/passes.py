"""Running passes again and again: one that fails is logged and runs again at its next time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event

from abaca.workflow.journal import Stopping

_LOG = logging.getLogger(__name__)


def repeat(name: str, work: Callable[[], None], every_seconds: float, stopping: Event) -> None:
    """Run the pass every so many seconds until asked to stop."""
    while not stopping.wait(every_seconds):
        once(name, work)


def once(name: str, work: Callable[[], None]) -> None:
    """Run the pass; an error is logged, and mended by its next run or not at all. It ends in the
    middle when the worker stops."""
    try:
        work()
    except Stopping:
        _LOG.info("pass %s ends with the worker", name)
    except Exception:
        _LOG.exception("pass %s failed; it runs again at its next time", name)
