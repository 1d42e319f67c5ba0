"""Loop devices: which files they are attached to, and detaching them.

One goes by itself when it is unmounted, a moment later, and may be another file's then.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from abaca.drivers.linux import processes

DETACH_SECONDS = 60.0
CLR_FD = 0x4C01  # LOOP_CLR_FD of linux/loop.h
_BLOCK_DEVICES = Path("/sys/block")


def attached(prefixes: Sequence[str]) -> list[Path]:
    """The devices of files whose paths begin with one of these."""
    return [
        Path("/dev", entry.name)
        for entry in sorted(_BLOCK_DEVICES.glob("loop*"))
        if _file_of(entry.name).startswith(tuple(prefixes))
    ]


def detach(device: Path, prefixes: Sequence[str]) -> None:
    """Detach a device, if it is still that of such a file. Held open it stays whose it is."""
    try:
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # nothing is attached to it any more
        return
    try:
        if _file_of(device.name).startswith(tuple(prefixes)):
            with suppress(OSError):
                fcntl.ioctl(handle, CLR_FD)
    finally:
        os.close(handle)


def await_detached(prefixes: Sequence[str]) -> None:
    """A process that is just being given mounts of its own may hold one for a moment, as may one
    that has just been killed, whose file system is still being written to the end."""
    processes.wait_until(lambda: not attached(prefixes), DETACH_SECONDS)


def _file_of(name: str) -> str:
    """Empty when there is none."""
    try:
        return (_BLOCK_DEVICES / name / "loop/backing_file").read_text(errors="replace").strip()
    except OSError:
        return ""
