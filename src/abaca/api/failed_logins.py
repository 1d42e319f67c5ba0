"""Failed logins: the first of each minute are logged, the others counted, so that a log tells of a flood and is not flooded."""

from __future__ import annotations

import logging
import threading
import time

from abaca.api import metrics
from abaca.api.faults import Attempt

LOG = logging.getLogger(__name__)

_SECONDS = 60.0
_LOGGED = 10  # of each minute, by each process


class FailedLogins:
    """Those that one process has seen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = float("-inf")
        self._number = 0

    def note(self, attempt: Attempt, address: str, request_id: str) -> None:
        """Somebody at `address` tried to log in."""
        metrics.count_failed_login(attempt.kind)
        with self._lock:
            now = time.monotonic()
            if now - self._begun >= _SECONDS:
                self._tell_of_the_others()
                self._begun, self._number = now, 0
            self._number += 1
            is_logged = self._number <= _LOGGED
        if is_logged:
            LOG.warning("%s: failed login %s from %s", request_id, attempt.what, address)
        if self._number == _LOGGED:
            LOG.warning("more failed logins within this minute are only counted")

    def _tell_of_the_others(self) -> None:
        if self._number > _LOGGED:
            LOG.warning("%d more failed logins in the minute that began %.0f s ago", self._number - _LOGGED, time.monotonic() - self._begun)
