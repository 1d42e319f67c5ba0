"""A file of JSON lines that several processes append to, and that may be moved away at any time, as
logrotate does.

Each line is written by one call. A line that cannot be written, because the disk is full or the
file is gone for good, is counted and logged, and the API continues.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from abaca.api import metrics

LOG = logging.getLogger(__name__)

_MODE = 0o640
_ATTEMPTS = 20
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class AuditFile:
    """Opened with the first line, and again when `path` is another file. `turns`: see `turns`;
    None: no other process writes."""

    def __init__(self, path: str, turns: int | None = None) -> None:
        self._path = path
        self._lock = Lock()
        self._turns = (
            None if turns is None else os.open(f"/proc/self/fd/{turns}", os.O_RDWR | os.O_CLOEXEC)
        )
        self._descriptor: int | None = None
        self._is_failing = False

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one line. Raises nothing."""
        line = json.dumps(record).encode() + b"\n"  # ASCII: no character steers a terminal
        with self._lock, self._turn():
            try:
                _write(self._current(), line)
            except OSError as error:
                metrics.count_lost_audit_line(error)
                if not self._is_failing:
                    LOG.error(
                        "%s cannot be written, so it lacks lines from now on: %s",
                        self._path,
                        error.strerror,
                    )
                self._is_failing = True
            else:
                if self._is_failing:
                    LOG.warning("%s is written again", self._path)
                self._is_failing = False

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Lets one process write at a time: another would take half of a line for one that was cut
        off."""
        if self._turns is None:
            yield
            return
        fcntl.flock(self._turns, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._turns, fcntl.LOCK_UN)

    def _current(self) -> int:
        """The file that has this name now."""
        if self._descriptor is not None:
            with suppress(FileNotFoundError):
                if os.path.samestat(
                    os.stat(self._path, follow_symlinks=False), os.fstat(self._descriptor)
                ):
                    return self._descriptor
            os.close(self._descriptor)
            self._descriptor = None
        self._descriptor = _open(self._path)
        return self._descriptor


def turns() -> int:
    """What processes forked from this one use to take turns. It has no name: anybody who may read
    the file could lock that, and block all of them."""
    return os.memfd_create("abaca-audit")


def complaint(path: Path, who: str) -> str | None:
    """Why this process could not append to the file, or create it; None if it could. Creates
    nothing."""
    if not os.path.lexists(path):
        folder = path.absolute().parent
        return (
            None
            if os.access(folder, os.W_OK | os.X_OK)
            else f"{who} cannot create [api] audit_file {path}."
        )
    if not stat.S_ISREG(path.lstat().st_mode):
        return f"[api] audit_file {path} is not a regular file."
    return (
        None
        if os.access(path, os.R_OK | os.W_OK)
        else f"{who} may not read and write [api] audit_file {path}."
    )


def _open(path: str) -> int:
    """Open for appending; a new file is writable by its owner and readable by its group, an
    existing one keeps its mode."""
    for _ in range(_ATTEMPTS):
        with suppress(FileNotFoundError):  # moved away after we saw that it was there
            return _make_or_open(path)
    return _make_or_open(path)


def _make_or_open(path: str) -> int:
    try:
        made = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        descriptor = os.open(path, _FLAGS)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is not a regular file") from None
        return descriptor
    os.fchmod(made, _MODE)  # whatever the umask
    return made


def _write(descriptor: int, line: bytes) -> None:
    """Write a line; first end a line that a full disk has cut off, of any process."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    if end and os.pread(descriptor, 1, end - 1) != b"\n":
        line = b"\n" + line
    if os.write(descriptor, line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
