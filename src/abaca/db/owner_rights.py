"""Touching files with the rights of whoever owns their folder: root's way to a database that a less
privileged process writes, too.

SQLite trusts what lies beside a database. A rollback journal that somebody planted there may
name any file, which is then deleted, with the rights of the process that opens the database next;
and a symbolic link may be in the place of what SQLite makes.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_ASK = -1  # no id: setfsuid and setfsgid then change nothing, and say what is


@contextmanager
def owner_rights(folder: Path) -> Iterator[None]:
    """Meanwhile this thread, when it is root's, may do with files what the owner of `folder` may
    do; others do not notice, but one that it starts meanwhile keeps these rights.

    Nothing changes when root owns the folder, or there is none.
    """
    owner = folder.stat() if os.geteuid() == 0 and folder.is_dir() else None
    if owner is None or owner.st_uid == 0:
        yield
        return
    _become(owner.st_uid, owner.st_gid)
    try:
        yield
    finally:
        _become(0, os.getegid())


def _become(user: int, group: int) -> None:
    # The group first: who is not root any more may not change it. Both answer with what was, so
    # each is asked afterwards.
    for change, wanted in (
        ((_libc.setfsgid, group), (_libc.setfsuid, user))
        if user
        else ((_libc.setfsuid, user), (_libc.setfsgid, group))
    ):
        change(wanted)
        if change(_ASK) != wanted:
            raise PermissionError(
                f"this process cannot take the rights of user {user}, group {group}, with files"
            )
