"""Application tokens: writing their file, which the API process reads again when it changes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from oslo_config import cfg

from abaca import config
from abaca.admin import access_files
from abaca.api.tokens_file import Token, digest, line, parse
from abaca.api.users_file import User
from abaca.errors import Conflict, Invalid, Missing

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LISTED = timedelta(days=30)  # after the end
_HEAD = (
    "# Application tokens of Abaca: user:name:sha256-of-secret:role[,role]:end. Written by `abaca "
    "token`; changes take effect at once.\n"
)


def create(
    conf: cfg.ConfigOpts, name: str, user: User, roles: list[str], end: datetime | None
) -> tuple[Token, str]:
    """Make a token; returns it and its secret, which is stored nowhere. Without roles it has the
    user's.

    Raises Invalid (a name or a role that cannot be), Conflict (the name is taken).
    """
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"'{name}' cannot be a token's name: use at most 64 letters, digits and . _ -"
        )
    secret = secrets.token_urlsafe(32)
    token = Token(user.name, name, digest(secret), tuple(roles) or user.roles, end)
    if not token.roles:  # such a line would be none, and nobody's tokens could be changed any more
        raise Invalid(f"User '{user.name}' has no role, so a token of theirs would have none.")
    lacking = sorted({*token.roles} - {*token.roles_of(user)})
    if lacking:
        raise Invalid(f"User '{user.name}' has no role {', '.join(lacking)}.")
    with _changed(conf) as tokens:
        known = tokens.get(token.login)
        if known is not None and not known.has_ended():
            raise Conflict(
                f"User '{user.name}' has a token '{name}' already. Choose another name, or revoke "
                "it first."
            )
        tokens[token.login] = token
    return token, secret


def revoke(conf: cfg.ConfigOpts, name: str, user_name: str) -> None:
    """Remove a token: it counts no longer within a second. Raises Missing."""
    with _changed(conf) as tokens:
        if tokens.pop(f"{user_name}+{name}", None) is None:
            raise Missing(f"User '{user_name}' has no token '{name}'.")


def revoke_all(conf: cfg.ConfigOpts, user_name: str) -> None:
    """Remove a user's tokens, if there are any."""
    if any(token.user == user_name for token in read(conf).values()):
        with _changed(conf) as tokens:
            for login in [login for login, token in tokens.items() if token.user == user_name]:
                del tokens[login]


def read(conf: cfg.ConfigOpts) -> dict[str, Token]:
    """The tokens by login; none when there is no file. Raises Conflict when a line of it is not
    one."""
    return access_files.read(config.tokens_file(conf), parse)


def state(token: Token, user: User | None) -> str:
    """In a word or three: whether it counts, and why not."""
    if user is None:
        return "user removed"
    if token.has_ended():
        return "ended"
    return "active" if token.roles_of(user) else "no role left"


@contextmanager
def _changed(conf: cfg.ConfigOpts) -> Iterator[dict[str, Token]]:
    """The tokens, to be changed; written at the end. Those that ended long ago are dropped."""
    path = config.tokens_file(conf)
    with access_files.alone(path):
        tokens = read(conf)
        yield tokens
        oldest = datetime.now(UTC) - _LISTED
        kept = [token for token in tokens.values() if token.end is None or token.end > oldest]
        access_files.write(conf, path, _HEAD, map(line, kept))
