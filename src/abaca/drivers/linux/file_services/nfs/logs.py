"""The log of an NFS server: in a small file system of its own, in memory, so that it is bounded
whatever Ganesha logs.

Strangers choose how much that is. When the file system is full, further messages are lost and
nothing else happens; `make_room`, called every few seconds, lets the newest come in again. What
lies there is Ganesha's: nothing of it is followed or believed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from abaca.drivers.linux import mounts
from abaca.drivers.linux.layout import ServerLayout

ROOM = 2 * 1024**2
"""Bytes that a server's logs take up at most."""
KEPT = 512 * 1024
"""Bytes after which a new log is begun, and what is kept of the former one, its beginning."""
OPTIONS = f"size={ROOM},nr_inodes=16,mode=700,nodev,nosuid,noexec"


def prepare(server: ServerLayout) -> None:
    """Make sure of the file system. What was logged before stays until a reboot."""
    if mounts.mount_at(server.logs) is None:
        mounts.mount("tmpfs", server.logs, OPTIONS, kind="tmpfs")


def make_room(server: ServerLayout) -> None:
    """Begin a new log when the present one is long. Ganesha opens it by name for each message."""
    log, former = server.log, server.log.with_suffix(".log.1")
    with contextlib.suppress(OSError):  # there is none, or Ganesha has put something else there
        if os.lstat(log).st_size > KEPT:
            log.rename(former)
            file = _open(former, os.O_WRONLY)
            try:
                os.ftruncate(file, KEPT)
            finally:
                os.close(file)


def end_of(server: ServerLayout, most: int) -> str:
    """The last `most` bytes that were logged, or that there are none."""
    try:
        file = _open(server.log, os.O_RDONLY)
    except OSError:
        return "it wrote no log"
    try:
        return os.pread(file, most, max(os.fstat(file).st_size - most, 0)).decode(errors="replace")
    finally:
        os.close(file)


def _open(path: Path, access: int) -> int:
    """A regular file's descriptor. Raises OSError for anything else."""
    file = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{path} is not a file")
    return file
