"""The users file of http_basic: `user:bcrypt-hash:project:role[,role]`, one user a line, `#` begins
a comment line.

Reading only. Who writes it: the first start, and the administrator (`htpasswd -nB` makes the hash).
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from abaca.db.private_files import read_private

LOG = logging.getLogger(__name__)

_BCRYPT = re.compile(r"\$2[abxy]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
_LOOK_AGAIN = 1.0  # seconds between two looks at the file


class User(NamedTuple):
    """One line of the file."""

    name: str
    password_hash: bytes
    project_id: str
    roles: tuple[str, ...]

    @property
    def cost(self) -> int:
        """Of the hash: each one more doubles the work of a check."""
        return int(self.password_hash.split(b"$")[2])


def parse(text: str) -> dict[str, User]:
    """The users of a file by name. Raises ValueError naming the first line that is not one."""
    users = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, *rest = line.strip().split(":")
        if len(rest) != 3 or not name or not _BCRYPT.fullmatch(rest[0]) or not rest[1]:
            raise ValueError(
                f"line {number} is not of the form user:bcrypt-hash:project:role[,role]"
            )
        users[name] = User(
            name,
            rest[0].encode(),
            rest[1],
            tuple(role.strip() for role in rest[2].split(",") if role.strip()),
        )
    return users


class UsersFile:
    """A users file, which may change at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._looked_at = float("-inf")
        self._users: dict[str, User] = {}

    def users(self) -> Mapping[str, User]:
        """The users by name, as of a second ago at most. A file that is broken or gone leaves them
        as they were, with an error in the log.

        Whoever comes while it is read for the first time waits: else the password of everybody
        would be wrong.
        """
        if self._is_fresh():
            return self._users
        with self._lock:
            if not self._is_fresh():
                self._looked_at = time.monotonic()
                try:
                    self._read()
                except (OSError, ValueError) as error:
                    LOG.error("users file %s: %s", self._path, error)
        return self._users

    def _read(self) -> None:
        status = os.stat(self._path)
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._users = parse(read_private(self._path))
            self._stamp = stamp

    def _is_fresh(self) -> bool:
        """Whether there is something to go by, and it is no time to look again."""
        return self._stamp is not None and time.monotonic() - self._looked_at < _LOOK_AGAIN
