"""Files with secrets (users, keys): read only while nobody else may read or write them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from abaca.regular_files import require_regular


class Exposed(OSError):
    """Others may read or write the file, or it is somebody else's: it is not read. The message
    names it and says what to do."""


def read_private(path: Path) -> str:
    """The file's text. Raises Exposed, NotRegular, and OSError when it cannot be read."""
    require_regular(path)
    with open(path, encoding="utf-8") as file:
        found = os.fstat(file.fileno())
        if found.st_uid not in (0, os.geteuid()):
            raise Exposed(
                f"{path} belongs to another user (id {found.st_uid}), who may change it: give it "
                "to root."
            )
        if found.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
            mode = stat.S_IMODE(found.st_mode)
            raise Exposed(
                f"{path} may be read or written by others (mode {mode:04o}): chmod 640 or less, "
                "and look whether anybody has."
            )
        return file.read()
