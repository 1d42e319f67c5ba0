"""Passwords against the users file: checked once, then remembered. In memory is a keyed hash under
a key of this process, never a password."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from datetime import datetime
from typing import NamedTuple, TypeVar

import bcrypt

from abaca.api.users_file import User, UsersFile

_T = TypeVar("_T")

# remembered of each; apart, so that no flood of wrong ones makes the right ones forgotten
_RIGHT, _WRONG = 1024, 4096
_WRONG_SECONDS = 60.0
_COST = 12  # where there is no user
_LONGEST = 72  # bytes: bcrypt takes no more


class Known(NamedTuple):
    """What a name and a password come to: a user, or None for wrong. `token`: the name of the
    application token that was given; its roles are the user's here. `line`, `end`: that token's
    line in its file, and when it ends."""

    user: User | None
    token: str = ""
    line: str = ""
    end: datetime | None = None


class _Wrong(NamedTuple):
    """A password that was wrong for that user (None: there is none of the name). `is_told`:
    somebody was answered so."""

    user: User | None
    until: float
    is_told: bool


class Passwords:
    """Those of a users file. A right one is remembered until its user's line changes, a wrong one
    for a minute or until then."""

    def __init__(self, file: UsersFile) -> None:
        self._file = file
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._right: dict[bytes, User] = {}
        self._wrong: dict[bytes, _Wrong] = {}

    def digest(self, name: str, password: str) -> bytes:
        """The key in memory for both."""
        return hmac.digest(self._key, f"{name}\0{password}".encode(), hashlib.sha256)

    def find(self, name: str) -> User | None:
        """The user of that name."""
        return self._file.content().get(name)

    def highest_cost(self) -> int:
        """Of all users' hashes."""
        return max((user.cost for user in self._file.content().values()), default=_COST)

    def recall(self, name: str, password: str) -> Known | None:
        """What may be answered at once; None: it has to be checked, or it is wrong and nobody was
        answered so yet."""
        user = self.find(name)
        digest = self.digest(name, password)
        if user is not None and self._right.get(digest) == user:
            return Known(user)
        wrong = self._wrong_of(digest, user)
        return Known(None) if wrong is not None and wrong.is_told else None

    def check(self, name: str, password: str) -> Known:
        """Find it out, which takes as long as the hash's cost wants, and remember it. A name that
        is unknown costs nothing."""
        user = self.find(name)
        digest = self.digest(name, password)
        if user is None:
            return Known(None)
        is_right = _matches(password, user.password_hash)
        with self._lock:
            if is_right:
                _put(self._right, digest, user, _RIGHT)
            else:
                _put(
                    self._wrong,
                    digest,
                    _Wrong(user, time.monotonic() + _WRONG_SECONDS, is_told=False),
                    _WRONG,
                )
        return Known(user if is_right else None)

    def is_wrong(self, name: str, password: str) -> bool:
        """Whether no check is needed to say that it is wrong."""
        user = self.find(name)
        return user is None or self._wrong_of(self.digest(name, password), user) is not None

    def tell(self, name: str, password: str) -> None:
        """It is wrong, and somebody was answered so: from now on the same one is refused at
        once."""
        user, digest = self.find(name), self.digest(name, password)
        with self._lock:
            before = self._wrong_of(digest, user)
            until = before.until if before is not None else time.monotonic() + _WRONG_SECONDS
            _put(self._wrong, digest, _Wrong(user, until, is_told=True), _WRONG)

    def _wrong_of(self, digest: bytes, user: User | None) -> _Wrong | None:
        wrong = self._wrong.get(digest)
        return (
            wrong
            if wrong is not None and wrong.user == user and wrong.until > time.monotonic()
            else None
        )


def _put(remembered: dict[bytes, _T], digest: bytes, value: _T, most: int) -> None:
    remembered.pop(digest, None)
    remembered[digest] = value
    if len(remembered) > most:
        del remembered[next(iter(remembered))]


def _matches(password: str, password_hash: bytes) -> bool:
    """One that is longer than bcrypt takes is wrong, and is not found to be so any sooner."""
    given = password.encode()
    try:
        return bcrypt.checkpw(given[:_LONGEST], password_hash) and len(given) <= _LONGEST
    except ValueError:  # a hash that is not one
        return False
