"""Running passes again and again: one that fails is logged and runs again at its next time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event

_LOG = logging.getLogger(__name__)


def repeat(name: str, work: Callable[[], None], every_seconds: float, stopping: Event) -> None:
    """Run the pass every so many seconds until told to stop."""
    while not stopping.wait(every_seconds):
        try:
            work()
        except Exception:
            _LOG.exception("pass %s failed; it runs again in %.0f s", name, every_seconds)
