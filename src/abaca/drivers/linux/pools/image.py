"""The file that a pool lives in where the administrator gave none: made, reserved and mounted."""

from __future__ import annotations

import ctypes
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from abaca.drivers.linux import loops, mounts
from abaca.drivers.linux.pools.room import GIB, size_of_image
from abaca.drivers.linux.programs import run
from abaca.errors import Unavailable

USUAL_GIB = 20
STATE_RESERVE = GIB
"""So much of the disk below is left to the state directory: the database, logs, the worker's own
files."""
_GET_FLAGS, _SET_FLAGS, _NO_COPY_ON_WRITE = 0x80086601, 0x40086602, 0x00800000
_libc = ctypes.CDLL(None, use_errno=True)


class Image:
    """`path`: the file. `size_gib`: what can be promised of it, when it is made; None: 20, or half
    of what its disk has, where that is less. `is_sparse`: it takes room on the disk only when
    tenants write, which the disk may then not have; else all of it is taken at once."""

    def __init__(self, path: Path, size_gib: int | None, is_sparse: bool) -> None:
        self.path = path
        self.is_sparse = is_sparse
        self._size_gib = size_gib

    def ensure_mounted(self, root: Path, flags: str) -> None:
        """Raises Unavailable when the disk below does not have the room."""
        if not self.path.exists():
            self._make(root)
        else:
            self.ensure_reserved()
        mounted = mounts.mount_at(root)
        if mounted is not None:
            mounts.ensure_flags(mounted, flags)
            return
        # Where all is reserved, what tenants delete stays so: nothing is given back to the disk.
        mounts.mount(
            str(self.path), root, f"loop,{flags}" if self.is_sparse else f"loop,nodiscard,{flags}"
        )

    def ensure_reserved(self) -> None:
        """Take back what an fstrim has given to the disk. Cheap when that is nothing. Raises
        Unavailable when the disk does not have it any more."""
        if not self.is_sparse:
            self._reserve(self.path)

    def free_below(self) -> int:
        """Bytes that the disk below has."""
        found = os.statvfs(self.path.parent)
        return found.f_bavail * found.f_frsize

    def _make(self, root: Path) -> None:
        """Under another name, so that what has its name is whole."""
        mounts.unmount(root)  # of an attempt that was cut off
        unfinished = self.path.with_name(f".{self.path.name}.new")
        unfinished.unlink(missing_ok=True)
        with open(
            unfinished, "xb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW, 0o600)
        ) as file:
            _write_in_place(file)
            file.truncate(self._first_size())
        if not self.is_sparse:
            self._reserve(unfinished)
        run(
            "mkfs.btrfs",
            "--quiet",
            "--force",
            "--nodiscard",
            "--label",
            "abaca",
            "--metadata",
            "dup",
            str(unfinished),
            timeout=300,
        )
        # Metadata is kept once, so that tenants' counts as much on the disk as in their limits;
        # mkfs makes room for it only when it is kept twice.
        mounts.mount(str(unfinished), root, "loop,nodiscard")
        run(
            "btrfs",
            "balance",
            "start",
            "--force",
            "-mconvert=single",
            "-sconvert=single",
            str(root),
            timeout=300,
        )
        mounts.unmount(root)
        loops.await_detached([str(unfinished)])
        unfinished.replace(self.path)

    def _first_size(self) -> int:
        """Bytes of the file when it is made."""
        return size_of_image(
            GIB * (self._size_gib or max(1, min(USUAL_GIB, self.free_below() // (2 * GIB))))
        )

    def _require_below(self, lacking: int) -> None:
        """Raise Unavailable when the disk below does not have so many bytes more to give."""
        free = self.free_below()
        if free - lacking < STATE_RESERVE:
            raise Unavailable(
                f"the pool's image {self.path} needs {lacking / GIB:.1f} GiB more on its disk, "
                f"which has {free / GIB:.1f}, of which"
                f" {STATE_RESERVE / GIB:.0f} must be left: set a smaller pool_size_gib before it "
                "is made, or pool_sparse = true"
            )

    def _reserve(self, file: Path) -> None:
        """Take the room of all of it on the disk below, where it is not taken yet; what is in it
        stays."""
        found = file.stat()
        lacking = found.st_size - found.st_blocks * 512
        if lacking <= 0:
            return
        self._require_below(lacking)
        with open(file, "r+b") as opened:
            # Not posix_fallocate, which writes zeros, over tenants' data too, where the disk's file
            # system cannot reserve.
            if (
                _libc.fallocate(opened.fileno(), 0, ctypes.c_long(0), ctypes.c_long(found.st_size))
                != 0
            ):
                reason = os.strerror(ctypes.get_errno())
                raise Unavailable(
                    f"the room of the image {self.path} cannot be reserved ({reason}): set "
                    "pool_sparse = true, or use another disk"
                )


def _write_in_place(file: BinaryIO) -> None:
    """On a disk with btrfs: what is reserved is of use only where writing over it takes no new
    room."""
    with suppress(OSError):
        flags = bytearray(8)
        fcntl.ioctl(file, _GET_FLAGS, flags)
        number = int.from_bytes(flags, "little") | _NO_COPY_ON_WRITE
        fcntl.ioctl(file, _SET_FLAGS, number.to_bytes(8, "little"))
