"""What is known of the NFS servers of a back end while they run: when one dies, and how often in a
row one has left a probe unanswered.

It lasts as long as the driver; everything else is found anew on the machine by each call. Callers
may come from several threads.
"""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable
from enum import Enum, auto
from threading import Lock

MOST_SILENCES = 3
_LOG = logging.getLogger(__name__)


class Health(Enum):
    """`SILENT`: it lives and listens, and has left a probe without an answer. `GONE`: it does not,
    and has to be started."""

    SERVES = auto()
    SILENT = auto()
    GONE = auto()


class Vigil:
    """Servers are named by their ids. Each watched process takes one file descriptor."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ends = select.epoll()
        self._names: dict[int, str] = {}  # by the descriptor of the process
        self._watched: dict[str, tuple[int, int]] = {}  # name → process id, descriptor
        self._silences: dict[str, tuple[int, int]] = {}  # name → process id, how many

    def watch(self, name: str, find: Callable[[], int | None]) -> None:
        """Tell of the end of the process that `find` finds, until told to forget it; of one that is
        watched already, once."""
        with self._lock:
            pid = find()
            if pid is None or self._watched.get(name, (None,))[0] == pid:
                return
            try:
                handle = os.pidfd_open(pid)
            except OSError as error:  # it went, or no descriptor is left: probes will find out
                _LOG.warning(
                    "the end of process %d of %s will not be noticed: %s", pid, name, error
                )
                return
            if find() != pid:  # it went before it was held, and its number may be another's
                os.close(handle)
                return
            self._drop(name)
            self._watched[name], self._names[handle] = (pid, handle), name
            self._ends.register(handle, select.EPOLLIN)

    def forget(self, name: str) -> None:
        """Whatever becomes of it from now on is meant to happen."""
        with self._lock:
            self._drop(name)
            self._silences.pop(name, None)

    def wait(self, seconds: float) -> list[str]:
        """The names of those that have ended, each once; waits at most `seconds` for the first."""
        ready = self._ends.poll(seconds)
        with self._lock:
            # A descriptor that was closed meanwhile may be another process's by now.
            ended = [
                self._names[handle]
                for handle, _ in ready
                if handle in self._names and _has_ended(handle)
            ]
            for name in ended:
                self._drop(name)
        return ended

    def left_unanswered(self, name: str, pid: int) -> None:
        """The process did not answer a probe, and nothing but itself can be blamed."""
        with self._lock:
            before, count = self._silences.get(name, (pid, 0))
            self._silences[name] = (pid, count + 1 if before == pid else 1)

    def answered(self, name: str) -> None:
        with self._lock:
            self._silences.pop(name, None)

    def hangs(self, name: str, pid: int) -> bool:
        """Whether the process has left so many probes in a row without an answer that it is not
        going to answer any more."""
        with self._lock:
            silent_pid, count = self._silences.get(name, (pid, 0))
            return silent_pid == pid and count >= MOST_SILENCES

    def _drop(self, name: str) -> None:
        if name in self._watched:
            _, handle = self._watched.pop(name)
            del self._names[handle]
            self._ends.unregister(handle)
            os.close(handle)


def _has_ended(process: int) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(0))
