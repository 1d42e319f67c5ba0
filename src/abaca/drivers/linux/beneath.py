"""Opening what lies beneath a folder that strangers may have written to: nothing is followed that
they may have put there.

Root opens, changes, lists and deletes in a pool by descriptors from here, never by a path that the
system would resolve again.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OPENAT2 = 437  # the same number on all architectures
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_RESOLVE = _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH
_RENAME_EXCHANGE = 2
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def folder(path: Path) -> Iterator[int]:
    """A descriptor of a folder, whose own path only root can write to."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def folder_beneath(held: int, path: str) -> Iterator[int]:
    """A descriptor of the folder at `path` beneath the one that `held` is open on. As
    `open_beneath`."""
    descriptor = open_beneath(held, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_beneath(held: int, path: str, flags: int) -> int:
    """A new descriptor of what is at `path` beneath the folder that `held` is open on.

    Raises OSError as `os.open` does: ELOOP where a part of the path is a symbolic link (ENOTDIR for
    the last part, where a folder is asked for), EXDEV where it leads out of the folder or to
    another mount.
    """
    how = struct.pack("QQQ", flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0, _RESOLVE)
    descriptor = int(
        _libc.syscall(_OPENAT2, held, os.fsencode(path), how, ctypes.c_size_t(len(how)))
    )
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return descriptor


def exchange(held: int, one: str, other: str) -> None:
    """Exchange the names of two things in the folder that `held` is open on, at one stroke. Neither
    is followed."""
    if _libc.renameat2(held, os.fsencode(one), held, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), one)
