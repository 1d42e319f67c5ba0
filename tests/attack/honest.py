"""An honest NFSv4.1 client in a process of its own: it writes, reads and asks without pause, and
notes how long each call took.

It does what Linux does when the connection or the server goes: connects again, reclaims, repeats
the call. What an application would have seen as an error is counted as one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, getattr, lookup, putfh
from abaca.drivers.linux.file_services.nfs.xdr import Malformed
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client41, OpenFile, patiently

PAUSE = 0.01  # seconds between calls
PATIENCE = 15.0  # seconds for an answer, before the connection is given up
ANSWER_SECONDS = 90.0
RECONNECTS = (0.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0)
ASK_AGAIN = (
    "GRACE",
    "DELAY",
    "BADSESSION",
    "DEADSESSION",
    "STALE_CLIENTID",
    "STALE_STATEID",
    "EXPIRED",
    "CONN_NOT_BOUND_TO_SESSION",
)


class Watched(NamedTuple):
    """What one client saw in a stretch of time; seconds."""

    calls: int
    errors: list[str]
    reconnects: int
    p99: float
    longest: float

    def __str__(self) -> str:
        said = (
            f"{self.calls} calls, p99 {self.p99 * 1000:.0f} ms, longest "
            f"{self.longest * 1000:.0f} ms"
        )
        more = [f"{self.reconnects} reconnects"] * bool(self.reconnects) + [
            f"{len(self.errors)} errors: {self.errors[:1]}"
        ] * bool(self.errors)
        return ", ".join([said, *more])


class Honest:
    """The client as its watcher sees it: `module` run with `arguments`, whose `main` says "ready"
    and then reports when it is asked."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._answer() == "ready"

    def so_far(self) -> Watched:
        """What it saw since this was asked last."""
        assert self._process.stdin is not None
        self._process.stdin.write("so far\n")
        self._process.stdin.flush()
        return Watched(*json.loads(self._answer()))

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        timer = threading.Timer(ANSWER_SECONDS, self._process.kill)
        timer.start()
        try:
            assert self._process.stdout is not None
            return self._process.stdout.readline().strip()
        finally:
            timer.cancel()


class Notes:
    """Of the calls since the last report; written by one thread, reported by another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clear()
        self._began: float | None = None

    def _clear(self) -> None:
        self._times: list[float] = []
        self._errors: list[str] = []
        self._reconnects = 0

    def timed(self, act: Callable[[], object]) -> None:
        """Note how long it takes, with all that had to be repeated."""
        self._began = time.monotonic()
        act()
        with self._lock:
            self._times.append(time.monotonic() - self._began)
            self._began = None

    def error(self, what: str) -> None:
        with self._lock:
            self._errors.append(what)

    def reconnect(self) -> None:
        with self._lock:
            self._reconnects += 1

    def report(self) -> Watched:
        with self._lock:
            times = sorted(self._times)
            # what is not back yet counts, too
            waiting = time.monotonic() - self._began if self._began else 0.0
            longest = max([*times, waiting])
            p99 = max(
                times[int(len(times) * 0.99)] if times else 0.0,
                waiting if len(times) < 100 else 0.0,
            )
            said = Watched(len(times), self._errors, self._reconnects, p99, longest)
            self._clear()
            return said


class Work:
    """What the client does all the time."""

    def __init__(self, netns: str, address: str, path: str) -> None:
        self.notes = Notes()
        self._client = Client41(netns, address, patience=PATIENCE)
        self._client.establish()
        self._root = self._client.handle_of(path)
        name = f"honest {os.getpid()}"
        self._file: OpenFile = patiently(lambda: self._client.open(self._root, name, create=True))
        self._name = name

    def run(self) -> None:
        round_ = 0
        never = threading.Event()
        while True:
            for call in (self._write, self._read, self._look):
                self.notes.timed(lambda call=call, number=round_: self._persist(call, number))  # type: ignore[misc]
                never.wait(PAUSE)
            round_ += 1

    def _persist(self, call: Callable[[int], None], number: int) -> None:
        """Until the server has answered it; an error that no repetition mends is noted."""
        while True:
            try:
                call(number)
                return
            except (OSError, Malformed):
                self._start_again()
            except Nfs4Error as error:
                if error.name not in ASK_AGAIN:
                    self.notes.error(str(error))
                    return
                if error.name not in ("GRACE", "DELAY"):
                    self._start_again()

    def _start_again(self) -> None:
        while True:
            self.notes.reconnect()
            try:
                self._client.reconnect(RECONNECTS)
                self._recover()
                return
            except (OSError, Malformed, Nfs4Error) as error:
                self.notes.error(f"not back: {error}")

    def _recover(self) -> None:
        """Reclaim what was open; when the lease is over, open it anew."""
        try:
            self._client.recover()
        except Nfs4Error as error:
            if error.name not in ("NO_GRACE", "RECLAIM_BAD"):
                raise
            self._client.files.clear()
            self._client.reclaimed()
            self._file = patiently(lambda: self._client.open(self._root, self._name))

    def _write(self, number: int) -> None:
        self._client.write(self._file, 0, number.to_bytes(8, "big") * 512, ops.UNSTABLE)

    def _read(self, number: int) -> None:
        if self._client.read(self._file, 0, 4096) != number.to_bytes(8, "big") * 512:
            self.notes.error("what was read is not what was written")

    def _look(self, number: int) -> None:
        self._client.run(putfh(self._root), lookup(self._name), getattr("size", "fileid"))


def main(netns: str, address: str, path: str) -> None:
    """Use the share `path` at `address`."""
    work = Work(netns, address, path)
    threading.Thread(target=work.run, daemon=True).start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(work.notes.report()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
