"""Limits log lines that strangers can cause: the first few of each minute are logged, the others
counted, so that a flood is visible but does not flood the log."""

from __future__ import annotations

import logging
import threading
import time

LOG = logging.getLogger(__name__)

_SECONDS = 60.0
_LOGGED = 10  # of each minute, by each process


class FirstOfAMinute:
    """`what`: what is counted, in the plural, as in "failed logins"."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._begun = float("-inf")
        self._number = 0

    def admit(self) -> bool:
        """Count one more; returns whether to log it."""
        with self._lock:
            now = time.monotonic()
            if now - self._begun >= _SECONDS:
                self._tell_of_the_others(now)
                self._begun, self._number = now, 0
            self._number += 1
            number = self._number
        if number == _LOGGED + 1:
            LOG.warning("more %s within this minute are only counted", self._what)
        return number <= _LOGGED

    def _tell_of_the_others(self, now: float) -> None:
        if self._number > _LOGGED:
            LOG.warning(
                "%d more %s in the minute that began %.0f s ago",
                self._number - _LOGGED,
                self._what,
                now - self._begun,
            )
