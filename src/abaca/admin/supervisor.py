"""Child processes kept running: started, started again when they die, ended together."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from threading import Event

LOG = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
SHORTEST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
STEADY_SECONDS = 60.0
"""Who has run so long counts as healthy: the next pause is the shortest again."""


class ChildFailed(Exception):
    """A child ended before it had done anything useful."""


class Child:
    """One process. It ends by itself when its standard input is closed, so it never outlives us,
    however we end (see `cli.py`).

    `patience`: seconds it gets to end before it is killed. `takes_group`: its own children end with
    it; not so for the worker, whose file servers go on serving.
    """

    def __init__(
        self, name: str, argv: Sequence[str], *, patience: float, takes_group: bool
    ) -> None:
        self.name = name
        self._argv = list(argv)
        self._patience = patience
        self._takes_group = takes_group
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._not_before = 0.0
        self._pause = SHORTEST_PAUSE

    def start(self) -> None:
        """Start it."""
        # In a session of its own: Ctrl-C in a terminal reaches us only, and we end the children in
        # order.
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, start_new_session=True)
        self._started = time.monotonic()
        LOG.info("%s: started, process %d", self.name, self._process.pid)

    def died(self) -> str | None:
        """How it ended, if it did since the last time; what it left behind of its own has been
        ended then."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._forget(self._process)
        if time.monotonic() - self._started > STEADY_SECONDS:
            self._pause = SHORTEST_PAUSE
        self._not_before = time.monotonic() + self._pause
        return (
            f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        )

    def restart_in_time(self) -> None:
        """Start it again if it is not there and its pause is over; each pause is twice the one
        before, up to 30 s."""
        if self._process is None and time.monotonic() >= self._not_before:
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            self.start()

    @property
    def pause(self) -> float:
        """Seconds between its death and its next start."""
        return self._pause

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """End it: by SIGTERM, and by SIGKILL when it takes too long."""
        if self._process is None:
            return
        process = self._process
        process.terminate()
        try:
            process.wait(self._patience)
        except subprocess.TimeoutExpired:
            LOG.warning("%s: did not stop within %g s; killing it", self.name, self._patience)
            process.kill()
            process.wait()
        self._forget(process)
        LOG.info("%s: stopped", self.name)

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        self._process = None
        if self._takes_group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if process.stdin is not None:
            process.stdin.close()


class Supervisor:
    """Children in the order in which they start; they end in the opposite one."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._children = children
        self.stopping = Event()
        self._reloading = Event()

    def start(self) -> None:
        """Start them all."""
        for child in self._children:
            child.start()

    def require_all(self) -> None:
        """Raises ChildFailed when one has died: for the time before the service is ready, when
        starting again would only repeat it."""
        for child in self._children:
            how = child.died()
            if how is not None:
                raise ChildFailed(
                    f"{child.name} {how} before it was ready; its messages are above."
                )

    def reload(self) -> None:
        """Have them begin anew what they can while they serve, by SIGHUP. For a signal handler: it
        is done by `run`."""
        self._reloading.set()

    def run(self) -> None:
        """Keep them running until `stopping` is set."""
        while not self.stopping.wait(LOOK_SECONDS):
            if self._reloading.is_set():
                self._reloading.clear()
                for child in self._children:
                    child.send(signal.SIGHUP)
            for child in self._children:
                how = child.died()
                if how is not None:
                    LOG.error("%s: %s; starting it again in %g s", child.name, how, child.pause)
                child.restart_in_time()

    def stop(self) -> None:
        """End them all."""
        for child in reversed(self._children):
            child.stop()
