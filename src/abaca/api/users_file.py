"""The users file of http_basic: `user:bcrypt-hash:project:role[,role]`, one user a line, `#` begins a comment line.

Reading and checking only. Who writes it: the first start, and the administrator (`htpasswd -nB` makes the hash).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import bcrypt

LOG = logging.getLogger(__name__)

_BCRYPT = re.compile(r"\$2[abxy]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
_COST = 12
_LOOK_AGAIN = 1.0  # seconds between two looks at the file
_REMEMBERED = 1024


class User(NamedTuple):
    """One line of the file."""

    name: str
    password_hash: bytes
    project_id: str
    roles: tuple[str, ...]


def parse(text: str) -> dict[str, User]:
    """The users of a file by name. Raises ValueError naming the first line that is not one."""
    users = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, *rest = line.strip().split(":")
        if len(rest) != 3 or not name or not _BCRYPT.fullmatch(rest[0]) or not rest[1]:
            raise ValueError(f"line {number} is not of the form user:bcrypt-hash:project:role[,role]")
        users[name] = User(name, rest[0].encode(), rest[1], tuple(role.strip() for role in rest[2].split(",") if role.strip()))
    return users


class UsersFile:
    """Checks passwords against a users file, which may change at any time. Passwords found right are remembered for `remember` seconds.

    What is remembered is a keyed hash under a key of this process, never the password.
    """

    def __init__(self, path: Path, remember: float) -> None:
        self._path = path
        self._remember = remember
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._looked_at = float("-inf")
        self._users: dict[str, User] = {}
        self._known: dict[bytes, tuple[User, float]] = {}
        self._nobody = _unknown_password([])

    def verify(self, name: str, password: str) -> User | None:
        """The user, or None when name or password are wrong. An unknown name takes as long as a wrong password."""
        self._look()
        known_now = self._known
        digest = hmac.new(self._key, f"{name}\0{password}".encode(), hashlib.sha256).digest()
        known = known_now.get(digest)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        user = self._users.get(name)
        right = _matches(password, user.password_hash if user else self._nobody)
        if user is None or not right:
            return None
        if len(known_now) >= _REMEMBERED:
            known_now.clear()
        known_now[digest] = (user, time.monotonic() + self._remember)
        return user

    def _look(self) -> None:
        """Read the file again when it changed. A file that is broken or gone leaves the users as they were, with an error in the log.

        Whoever comes while it is read for the first time waits: else the password of everybody would be wrong.
        """
        if self._is_fresh():
            return
        with self._lock:
            if self._is_fresh():
                return
            self._looked_at = time.monotonic()
            try:
                status = os.stat(self._path)
                stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
                if stamp == self._stamp:
                    return
                users = parse(self._path.read_text())
            except (OSError, ValueError) as error:
                LOG.error("users file %s: %s", self._path, error)
                return
            self._stamp, self._users, self._nobody = stamp, users, _unknown_password(users.values())
            self._known = {}  # a new one: a check that is under way remembers its result in the old one

    def _is_fresh(self) -> bool:
        """Whether there is something to go by, and it is no time to look again."""
        return self._stamp is not None and time.monotonic() - self._looked_at < _LOOK_AGAIN


def _unknown_password(users: Iterable[User]) -> bytes:
    """A hash of a password that nobody knows, as costly as the users' own."""
    costs = [int(user.password_hash.split(b"$")[2]) for user in users]
    return bcrypt.hashpw(secrets.token_bytes(16).hex().encode(), bcrypt.gensalt(max(costs, default=_COST)))


def _matches(password: str, password_hash: bytes) -> bool:
    try:
        return bcrypt.checkpw(password.encode(), password_hash)
    except ValueError:  # longer than bcrypt takes, or a hash that is not one
        return False
