"""A private file that is read again when it has changed, while requests go on."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from abaca.db.private_files import read_private

LOG = logging.getLogger(__name__)

_T = TypeVar("_T")
_LOOK_AGAIN = 1.0  # seconds between two looks at the file
_ABSENT = (0, 0, 0)


class RereadFile(Generic[_T]):
    """The file at `path`. `parse` raises ValueError for a text that is wrong. `what`: its name in
    the log. `may_be_absent`: a file that is not there counts as `empty`, not as an error."""

    def __init__(
        self,
        path: Path,
        parse: Callable[[str], _T],
        empty: _T,
        what: str,
        *,
        may_be_absent: bool = False,
    ) -> None:
        self._path = path
        self._parse = parse
        self._what = what
        self._may_be_absent = may_be_absent
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._looked_at = float("-inf")
        self._empty = self._content = empty

    def content(self) -> _T:
        """What it says, as of a second ago at most. A file that is broken or gone leaves that as it
        was, with an error in the log. Whoever comes while it is read waits."""
        if self._is_fresh():
            return self._content
        with self._lock:
            if not self._is_fresh():
                try:
                    self._read()
                except (OSError, ValueError) as error:
                    LOG.error("%s %s: %s", self._what, self._path, error)
                self._looked_at = time.monotonic()
        return self._content

    def _read(self) -> None:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            if not self._may_be_absent:
                raise
            self._stamp, self._content = _ABSENT, self._empty
            return
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._content = self._parse(read_private(self._path))
            self._stamp = stamp

    def _is_fresh(self) -> bool:
        """Whether it is too early to look again."""
        return time.monotonic() - self._looked_at < _LOOK_AGAIN
