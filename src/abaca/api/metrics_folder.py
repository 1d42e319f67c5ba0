"""The folder in which the processes of one `abaca api` count requests together: taken away when
that ends or, if it was killed, by the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "abaca-metrics-"
_LOCK = "lock"


@contextmanager
def metrics_folder() -> Iterator[Path]:
    """A folder of our own among the machine's temporary ones. It counts as in use as long as this
    process, or one forked from it, lives."""
    place = Path(tempfile.gettempdir())
    _remove_left_over(place)
    draft = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=place))
    lock = os.open(draft / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # nobody finds it before it is locked
    folder = draft.rename(place / draft.name.removeprefix("."))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_left_over(place: Path) -> None:
    """Those of ours that nobody holds."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another one that starts may be quicker
            found = folder.lstat()
            if (
                stat.S_ISDIR(found.st_mode)
                and found.st_uid == os.geteuid()
                and not _is_held(folder / _LOCK)
            ):
                shutil.rmtree(folder, ignore_errors=True)


def _is_held(path: Path) -> bool:
    lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
