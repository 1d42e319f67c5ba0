"""Whether the disk of a pool answers: asked before an NFS server that may be waiting for it is
considered to hang."""

from __future__ import annotations

import os
from concurrent.futures import Future, wait
from pathlib import Path
from threading import Lock, Thread


class DiskProbe:
    """Writes a few bytes to an unnamed file in `folder` and syncs them. At most one thread waits
    for a disk that hangs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._running: Future[None] | None = None

    def answers(self, patience: float) -> bool:
        """Whether the disk answers within `patience` seconds. That it is full or read-only is an
        answer too."""
        with self._lock:
            if self._running is None or self._running.done():
                self._running = Future()
                Thread(
                    target=self._write,
                    args=(self._running,),
                    name=f"probe of {self._folder}",
                    daemon=True,
                ).start()
            running = self._running
        wait([running], patience)
        return running.done()

    def _write(self, done: Future[None]) -> None:
        try:
            file = os.open(self._folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            try:
                os.write(file, b"probe")
                os.fsync(file)
            finally:
                os.close(file)
        except OSError:
            pass
        finally:
            done.set_result(None)
