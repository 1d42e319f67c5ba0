"""Room of a pool that can hold anything. btrfs hands room out in large pieces, each for data or for
metadata, and keeps a piece that is nearly empty: where tenants have deleted here and there, much
may be free, and nobody can make a file. Then data is moved together."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from abaca.drivers.linux.pools.room import GIB, Room
from abaca.drivers.linux.programs import run
from abaca.errors import BackendError

_PAUSE_SECONDS = 60.0
_FILTER = "-dusage=90"  # pieces that are fuller gain too little
_LONGEST_SECONDS = 3600.0
_LOG = logging.getLogger(__name__)


class Tidying:
    """Of the pool mounted at `root`, in the background: one at a time, with a pause after each."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._running = threading.Lock()
        self._not_before = 0.0

    def see_to(self, settings: Path, room: Room) -> None:
        """Begin when more is set aside for data than promises leave to spare. `settings`: the
        kernel's folder of the file system."""
        data = settings / "allocation" / "data"
        aside = int((data / "total_bytes").read_text()) - int((data / "bytes_used").read_text())
        piece = min(GIB, room.total // 10)
        if (
            aside <= max(2 * piece, room.left(1))
            or time.monotonic() < self._not_before
            or not self._running.acquire(blocking=False)
        ):
            return
        _LOG.info(
            "the pool %s has %.2f GiB allocated but unused for data: compacting it",
            self._root,
            aside / GIB,
        )
        threading.Thread(target=self._tidy, name="tidy", daemon=True).start()

    def _tidy(self) -> None:
        try:
            run("btrfs", "balance", "start", _FILTER, str(self._root), timeout=_LONGEST_SECONDS)
        except BackendError as error:
            _LOG.warning(
                "data in the pool %s could not be compacted: %s", self._root, error.message
            )
        finally:
            self._not_before = time.monotonic() + _PAUSE_SECONDS
            self._running.release()
