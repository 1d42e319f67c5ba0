"""Opening files that a configuration names: regular files only, as opening a FIFO would wait for a
writer."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotRegular(OSError):
    """It is a FIFO, a device, a socket or a folder. The message is a sentence with its name."""


def require_regular(path: str | Path) -> None:
    """Raises NotRegular, and OSError when nothing is there. A link is followed.

    /dev/null passes: it is named to have no file read.
    """
    if str(path) != os.devnull and not stat.S_ISREG(os.stat(path).st_mode):
        raise NotRegular(f"{path} is not a regular file.")
