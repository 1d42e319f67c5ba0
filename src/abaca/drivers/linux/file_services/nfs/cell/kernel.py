"""Calls of the kernel that Python 3.11 does not have, by the C library. What fails is an OSError
that says what was tried."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND = 1, 2, 4, 8, 32, 4096
REC, SLAVE = 1 << 14, 1 << 19
DETACH = 2
NEW_MOUNTS, NEW_CGROUPS, NEW_HOST_NAME, NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_PROCESSES, NEW_NETWORK = 0x20000000, 0x40000000

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise OSError, "cannot `what`", when a call's result says that it failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")


def mount(
    source: str | Path | None,
    point: str | Path,
    flags: int,
    kind: str | None = None,
    data: str | None = None,
) -> None:
    encoded = [text if text is None else os.fsencode(text) for text in (source, point, kind, data)]
    check(
        libc.mount(*encoded[:3], ctypes.c_ulong(flags), encoded[3]),
        f"mount {source or ''} at {point}",
    )


def prctl(option: int, first: int | bytes, second: int | bytes = 0, *, what: str) -> None:
    arguments = [
        given if isinstance(given, bytes) else ctypes.c_ulong(given) for given in (first, second)
    ]
    check(libc.prctl(option, *arguments, ctypes.c_ulong(0), ctypes.c_ulong(0)), what)
