"""Passwords against the users file: checked once, then remembered. In memory is a keyed hash under a key of this process, never a password."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from typing import NamedTuple, TypeVar

import bcrypt

from abaca.api.users_file import User, UsersFile

_T = TypeVar("_T")

_RIGHT, _WRONG = 1024, 4096  # remembered of each; apart, so that no flood of wrong ones makes the right ones forgotten
_WRONG_SECONDS = 60.0
_COST = 12  # where there is no user


class Known(NamedTuple):
    """What a name and a password come to: a user, or None for wrong."""

    user: User | None


class Passwords:
    """Those of a users file. A right one is remembered until its user's line changes, a wrong one for a minute or until then."""

    def __init__(self, file: UsersFile) -> None:
        self._file = file
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._right: dict[bytes, User] = {}
        self._wrong: dict[bytes, tuple[User | None, float]] = {}

    def digest(self, name: str, password: str) -> bytes:
        """What stands for both in memory."""
        return hmac.digest(self._key, f"{name}\0{password}".encode(), hashlib.sha256)

    def find(self, name: str) -> User | None:
        """The user of that name."""
        return self._file.users().get(name)

    def highest_cost(self) -> int:
        """Of all users' hashes."""
        return max((user.cost for user in self._file.users().values()), default=_COST)

    def recall(self, name: str, password: str) -> Known | None:
        """What is remembered; None when nothing is: it has to be checked."""
        user = self.find(name)
        digest = self.digest(name, password)
        if user is not None and self._right.get(digest) == user:
            return Known(user)
        wrong = self._wrong.get(digest)
        if wrong is not None and wrong[0] == user and wrong[1] > time.monotonic():
            return Known(None)
        return None

    def check(self, name: str, password: str) -> Known:
        """Find it out, which takes as long as the hash's cost wants, and remember it. A name that is unknown costs nothing."""
        user = self.find(name)
        right = user is not None and _matches(password, user.password_hash)
        digest = self.digest(name, password)
        with self._lock:
            if user is not None and right:
                _put(self._right, digest, user, _RIGHT)
            else:
                _put(self._wrong, digest, (user, time.monotonic() + _WRONG_SECONDS), _WRONG)
        return Known(user if right else None)


def _put(remembered: dict[bytes, _T], digest: bytes, value: _T, most: int) -> None:
    remembered.pop(digest, None)
    remembered[digest] = value
    if len(remembered) > most:
        del remembered[next(iter(remembered))]


def _matches(password: str, password_hash: bytes) -> bool:
    try:
        return bcrypt.checkpw(password.encode(), password_hash)
    except ValueError:  # longer than bcrypt takes, or a hash that is not one
        return False
