"""Small files shared by several processes: locked while they are changed, replaced whole, never
seen half written.

Nothing is forced to the disk: this survives the death of a process, not of the machine.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes (and other threads) from changing `path` meanwhile. The lock is a file
    beside it and goes with the process."""
    handle = os.open(
        path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def replace(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step. To be called under `locked`: the intermediate name is
    always the same."""
    draft = path.with_name(f"{path.name}.draft")
    handle = os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(draft, path)
