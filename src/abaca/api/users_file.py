"""The users file of http_basic: `user:bcrypt-hash:project:role[,role]`, one user a line, `#` begins
a comment line.

Reading only. Who writes it: the first start, and the administrator (`htpasswd -nB` makes the hash).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from abaca.api.reread_file import RereadFile

_BCRYPT = re.compile(r"\$2[abxy]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")


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


class UsersFile(RereadFile[dict[str, User]]):
    """A users file, which may change at any time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, parse, {}, "users file")
