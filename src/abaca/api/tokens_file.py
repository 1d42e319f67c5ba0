"""The file of application tokens, beside the users file:
`user:name:sha256-of-secret:role[,role]:end`, one token a line; `end` is `YYYY-MM-DDTHH:MMZ` or
`never`, `#` begins a comment line.

A secret has 256 random bits, so a plain hash of it cannot be searched for and costs a request
nothing. Reading only; `abaca token` writes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from abaca.api.passwords import Known
from abaca.api.reread_file import RereadFile
from abaca.api.users_file import User, UsersFile

_FORM = "user:name:sha256-of-secret:role[,role]:end"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_END = "%Y-%m-%dT%H:%MZ"
_NEVER = "never"
# what a user with a role may do, one with the other may, too
IMPLIED = {"admin": ("member", "reader"), "member": ("reader",)}


class Token(NamedTuple):
    """One line of the file. `end`: None, it has none."""

    user: str
    name: str
    digest: str
    roles: tuple[str, ...]
    end: datetime | None

    @property
    def login(self) -> str:
        """The user name that a client gives with the secret."""
        return f"{self.user}+{self.name}"

    def has_ended(self) -> bool:
        """Whether its end is past."""
        return self.end is not None and self.end <= datetime.now(UTC)

    def roles_of(self, user: User) -> tuple[str, ...]:
        """Its roles that the user still has, or that follow from one."""
        theirs = {*user.roles}.union(*(IMPLIED.get(role, ()) for role in user.roles))
        return tuple(role for role in self.roles if role in theirs)


def parse(text: str) -> dict[str, Token]:
    """The tokens of a file by login. Raises ValueError naming the first line that is not one."""
    tokens = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        user, name, digest, roles, end = (line.strip().split(":", 4) + [""] * 4)[:5]
        if not user or not name or not _SHA256.fullmatch(digest) or not roles:
            raise ValueError(f"line {number} is not of the form {_FORM}")
        try:
            token = Token(user, name, digest, tuple(roles.split(",")), parse_end(end))
        except ValueError:
            raise ValueError(
                f"line {number} ends with neither a time such as 2027-01-31T12:00Z nor 'never'"
            ) from None
        tokens[token.login] = token
    return tokens


def parse_end(text: str) -> datetime | None:
    """The end as the file has it; None: never. Raises ValueError."""
    return None if text == _NEVER else datetime.strptime(text, _END).replace(tzinfo=UTC)


def end_text(end: datetime | None) -> str:
    """As the file has it."""
    return _NEVER if end is None else end.strftime(_END)


def line(token: Token) -> str:
    """The token as a line of the file."""
    return ":".join(
        [token.user, token.name, token.digest, ",".join(token.roles), end_text(token.end)]
    )


def digest(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class ApplicationTokens:
    """Tokens by which programs log in for a user. A missing file: there are none."""

    def __init__(self, path: Path, users: UsersFile) -> None:
        self._tokens: RereadFile[Mapping[str, Token]] = RereadFile(
            path, parse, {}, "tokens file", may_be_absent=True
        )
        self._users = users

    def find(self, login: str, secret: str) -> Known | None:
        """The user with the token's roles; None if it is no token, or one that no longer counts:
        ended, of a user who is gone, or without a role that is left. A user of exactly that name
        comes first."""
        token = self._tokens.content().get(login)
        if token is None or not hmac.compare_digest(token.digest, digest(secret)):
            return None
        return self.known(login)

    def known(self, login: str) -> Known | None:
        """The same for who has shown the secret before."""
        token = self._tokens.content().get(login)
        if token is None:
            return None
        users = self._users.content()
        user = users.get(token.user)
        if user is None or login in users or token.has_ended():
            return None
        roles = token.roles_of(user)
        if not roles:
            return None
        return Known(user._replace(roles=roles), token.name, line(token), token.end)
