"""A file system of its own for one share server, in an image in the pool: as large as what its
shares and snapshots are promised.

It grows before something is promised in it, and shrinks some time after something was deleted. The
image is never smaller than the file system in it: it grows before that does, and is cut only when
that has shrunk and said so on stable storage. So a worker may die anywhere, and what the file is
too large is cut off later.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from abaca.drivers.linux import mounts
from abaca.drivers.linux.pools import subvolumes
from abaca.drivers.linux.pools.btrfs import BtrfsPool
from abaca.drivers.linux.pools.contents import Contents
from abaca.drivers.linux.pools.image import Image
from abaca.drivers.linux.pools.room import GIB, MIB
from abaca.drivers.linux.programs import os_errors_sorted, run
from abaca.errors import BackendError, NoSpace, OutcomeUnknown, Unavailable

FIRST_SIZE = 256 * MIB
"""Of a file system without shares. btrfs's tools make none that is much smaller."""
LEAST_GIVEN_BACK = 256 * MIB
# what is given back at a time: whoever wants to promise something waits for no more than that
STEP = GIB
RESIZE_SECONDS = 500.0
PAUSE_SECONDS = 60.0
_LOOP_SET_CAPACITY = 0x4C07
_LOG = logging.getLogger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)


class ServerImage(Image):
    """`path`: the file, in `pool`. `taking`: held while one of the pool's images takes room."""

    def __init__(self, path: Path, pool: BtrfsPool, taking: threading.Lock) -> None:
        super().__init__(path, None, is_sparse=False)
        self._pool = pool
        self._taking = taking

    def grow(self, root: Path, size: int) -> None:
        """Make the file system that is mounted at `root` `size` bytes large. Raises NoSpace, and
        leaves it as it was."""
        with (
            self._taking,
            open(self.path, "r+b") as file,
            os_errors_sorted(f"the image {self.path}"),
        ):
            before = os.fstat(file.fileno()).st_size
            self._require_below(size - before)
            if (
                _libc.fallocate(
                    file.fileno(), 0, ctypes.c_long(0), ctypes.c_long(max(size, before))
                )
                != 0
            ):
                number = ctypes.get_errno()
                file.truncate(before)
                raise OSError(number, os.strerror(number))
            self._pool.commit()
        self._tell_device(root)
        _resize(root, size)

    def shrink(self, root: Path, pool: Contents, size: int) -> None:
        """Make the file system that is mounted at `root`, and is open as `pool`, `size` bytes
        large. Raises BackendError when it cannot be."""
        _resize(root, size)
        self.cut(root, pool)

    def cut(self, root: Path, pool: Contents) -> None:
        """Give to the pool what the file is larger than the file system in it."""
        size = pool.size()
        subvolumes.store(pool.top)  # a size that is not on stable storage yet may not come true
        size = max(size, pool.size())
        with open(self.path, "r+b") as file:
            if os.fstat(file.fileno()).st_size > size:
                file.truncate(size)
                self._pool.commit()
                self._tell_device(root)

    def _reserve(self, file: Path) -> None:
        with self._taking:
            super()._reserve(file)
            self._pool.commit()

    def _first_size(self) -> int:
        return FIRST_SIZE

    def _require_below(self, lacking: int) -> None:
        room = self._pool.left()
        if lacking > room:
            _LOG.warning(
                "the image %s needs %.2f GiB more, and its pool has %.2f",
                self.path,
                lacking / GIB,
                room / GIB,
            )
            raise NoSpace("There is no room for the file system of a share server.", is_public=True)

    def _tell_device(self, root: Path) -> None:
        """The size of the file is that of the loop device from now on."""
        mounted = mounts.mount_at(root)
        if mounted is None:
            raise Unavailable(f"the file system {root} is not mounted")
        device = os.open(mounted.source, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, _LOOP_SET_CAPACITY, 0)
        finally:
            os.close(device)


class ServerPool(BtrfsPool):
    """The file system of one share server, mounted at `root`. Its shares and snapshots are in
    `folder`."""

    def __init__(self, root: Path, image: ServerImage, folder: str) -> None:
        super().__init__(root, image, folder, over_subscription=1)
        self._own = image
        self._not_before = 0.0
        self.is_ready = False
        """It was prepared, and is mounted."""

    def prepare(self, end_users: Callable[[], None]) -> None:
        super().prepare(end_users)
        self.is_ready = True

    def size(self) -> int:
        """Bytes of the image; none when it is just going."""
        try:
            return self._own.path.stat().st_size
        except FileNotFoundError:
            return 0

    def unmount(self) -> None:
        """Take the file system off. Nothing there is success."""
        self.is_ready = False
        with self._lock:  # or what gives room back would keep the image
            mounts.unmount(self.root)

    def give_back(self) -> bool:
        """Shrink by a step, where less is promised than there is room for; True when there may be
        more to give back."""
        try:
            with self._lock, self._opened() as pool:
                self._own.cut(self.root, pool)
                by = min(STEP, pool.surplus(), pool.size() - FIRST_SIZE) // MIB * MIB
                if by < LEAST_GIVEN_BACK:
                    return False
                self._own.shrink(self.root, pool, pool.size() - by)
        except BackendError as error:  # data is in the way, or being moved already; nothing is lost
            _LOG.info(
                "the file system %s could not be made smaller now: %s", self.root, error.message
            )
            self._not_before = time.monotonic() + PAUSE_SECONDS
            return False
        return True

    def can_give_back(self) -> bool:
        if time.monotonic() < self._not_before:
            return False
        with self._opened() as pool:
            is_cut = self._own.path.stat().st_size <= pool.size()
            return not is_cut or min(pool.surplus(), pool.size() - FIRST_SIZE) >= LEAST_GIVEN_BACK

    def _lacks(self, pool: Contents, more: int, what: str) -> bool:
        by = pool.growth(more)
        if by > 0:
            size = -(-(pool.size() + by) // MIB) * MIB
            with suppress(NoSpace):
                self._own.grow(self.root, size)
        return super()._lacks(pool, more, what)


def _resize(root: Path, size: int) -> None:
    """Only one of what moves data at large can run: what is moved together in the background ends
    for this."""
    command = ("btrfs", "filesystem", "resize", str(size), str(root))
    try:
        run(*command, timeout=RESIZE_SECONDS)
    except OutcomeUnknown:
        with suppress(OutcomeUnknown):
            run("btrfs", "balance", "cancel", str(root))
        run(*command, timeout=RESIZE_SECONDS)
