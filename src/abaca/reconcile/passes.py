"""Running passes again and again: one that fails is logged and runs again at its next time."""

from __future__ import annotations

import logging
from threading import Event
from typing import Protocol

_LOG = logging.getLogger(__name__)


class Pass(Protocol):
    """A pass: a function without arguments."""

    __name__: str

    def __call__(self) -> None: ...


def repeat(work: Pass, every_seconds: float, stopping: Event) -> None:
    """Run the pass every so many seconds until told to stop."""
    while not stopping.wait(every_seconds):
        try:
            work()
        except Exception:
            _LOG.exception("pass %s failed; it runs again in %.0f s", work.__name__, every_seconds)
