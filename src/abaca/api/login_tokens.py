"""Login tokens: what `POST /v3/auth/tokens` gives in place of a password, for `X-Auth-Token`.

A Fernet token under keys derived from the key file, so nothing is stored, all API hosts with the
same key file take it, and a request costs no statement. In it are the user, the application token
if it was one, and a digest of what both were at the login: a new password, other roles or a
revocation ends all tokens that came before. A single one cannot be revoked.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from abaca.api.passwords import Known
from abaca.api.reread_file import RereadFile
from abaca.api.tokens_file import ApplicationTokens
from abaca.api.users_file import UsersFile
from abaca.errors import Unavailable

_PURPOSE = b"abaca login tokens"  # keys for it decrypt no stored password, and the reverse


class Login(NamedTuple):
    """A login token with its times."""

    token: str
    issued_at: datetime
    expires_at: datetime


class _Content(msgspec.Struct, array_like=True):
    """What a token says. `name`: of the application token, or empty."""

    user: str
    name: str
    digest: str


class LoginTokens:
    """Makes and reads login tokens that last `seconds`. `clock`: seconds since 1970."""

    def __init__(
        self,
        key_file: Path,
        seconds: int,
        users: UsersFile,
        applications: ApplicationTokens,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys: RereadFile[MultiFernet | None] = RereadFile(key_file, _keys, None, "key file")
        self._seconds = seconds
        self._users = users
        self._applications = applications
        self._clock = clock

    def issue(self, known: Known) -> Login:
        """A new token for who has just logged in. Raises Unavailable without a key."""
        keys = self._keys.content()
        if keys is None or known.user is None:
            raise Unavailable(
                "Tokens cannot be issued: there is no key file. `abaca init` makes one.",
                is_public=True,
            )
        now = int(self._clock())
        content = _Content(known.user.name, known.token, _digest(known))
        token = keys.encrypt_at_time(msgspec.json.encode(content), now).decode()
        return self._login(token, now, known)

    def find(self, token: str) -> tuple[Known, Login] | None:
        """Whom a token is of, as the files say now; None if it is none of ours, has ended, or its
        user or application token is no longer what it was."""
        keys = self._keys.content()
        if keys is None:
            return None
        try:
            raw = keys.decrypt_at_time(token.encode(), self._seconds, int(self._clock()))
            content = msgspec.json.decode(raw, type=_Content)
        except (InvalidToken, msgspec.DecodeError):
            return None
        known = self._now(content)
        if known is None or content.digest != _digest(known):
            return None
        return known, self._login(token, keys.extract_timestamp(token.encode()), known)

    def _now(self, content: _Content) -> Known | None:
        if content.name:
            return self._applications.known(f"{content.user}+{content.name}")
        user = self._users.content().get(content.user)
        return None if user is None else Known(user)

    def _login(self, token: str, issued: int, known: Known) -> Login:
        expires = datetime.fromtimestamp(issued + self._seconds, UTC)
        return Login(
            token,
            datetime.fromtimestamp(issued, UTC),
            expires if known.end is None else min(expires, known.end),
        )


def _digest(known: Known) -> str:
    """Of all that a login rests on: the user's line, with the roles that the token leaves of it,
    and the application token's."""
    assert known.user is not None
    return hashlib.sha256(msgspec.json.encode([*known.user, known.line])).hexdigest()


def _keys(text: str) -> MultiFernet:
    """A key for login tokens of each line of the key file, the first for new ones. Raises
    ValueError when there is none."""
    return MultiFernet([Fernet(_derived(line)) for line in text.split()])


def _derived(line: str) -> bytes:
    made = HKDF(SHA256(), length=32, salt=None, info=_PURPOSE).derive(line.encode())
    return base64.urlsafe_b64encode(made)
