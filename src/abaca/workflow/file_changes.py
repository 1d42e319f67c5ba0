"""Noticing that files of a folder are written, by inotify(7)."""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_MODIFY, _CREATE = 0x2, 0x100  # IN_MODIFY, IN_CREATE of sys/inotify.h
_MANY = 65536  # bytes of events


@contextmanager
def changes(folder: Path) -> Iterator[Callable[[float], bool]]:
    """Asks the kernel to tell of writes to files in `folder`. What is given waits for the next one,
    so many seconds at most, and returns whether there was one since it was last called.

    Raises OSError where there are no more inotify instances, or no such folder.
    """
    events = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
    try:
        _checked(_libc.inotify_add_watch(events, os.fsencode(folder), _MODIFY | _CREATE))
        waiting = select.poll()
        waiting.register(events, select.POLLIN)

        def wait(seconds: float) -> bool:
            if not waiting.poll(seconds * 1000):
                return False
            os.read(events, _MANY)
            return True

        yield wait
    finally:
        os.close(events)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
