"""How far a long command has come, on standard error: a bar on a terminal, elsewhere a line every
few seconds, so that a log shows that it goes on. A quick command shows nothing in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from abaca.admin import logs

_BAR = 30
_SECONDS_BETWEEN_DRAWINGS = 0.1
_SECONDS_BETWEEN_LINES = 5.0
_CLEAR = "\r\x1b[K"


class Progress:
    """Counts to `total`; 0: nobody knows how much there is."""

    def __init__(
        self, label: str, total: int, stream: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._label = label
        self._total = total
        self._stream = stream
        self._clock = clock
        self._is_terminal = stream.isatty()
        self._count = 0
        self._told = clock()

    def done(self, number: int = 1, what: str = "") -> None:
        """So much more is done; `what` was the last of it."""
        self._count += number
        pause = _SECONDS_BETWEEN_DRAWINGS if self._is_terminal else _SECONDS_BETWEEN_LINES
        if self._clock() - self._told >= pause:
            self._told = self._clock()
            self._tell(what)

    def doing(self, what: str) -> None:
        """This is done now, and may take long: a terminal shows it at once."""
        if self._is_terminal:
            self._told = self._clock()
            self._tell(what)
        else:
            self.done(0, what)

    def close(self) -> None:
        """Leave the line of a terminal as it was before."""
        if self._is_terminal:
            self._write(_CLEAR)

    def _tell(self, what: str) -> None:
        of = f"{self._count} of {self._total}" if self._total else f"{self._count}"
        # rows of the database name what was done last
        text = logs.escaped(f"{self._label}: {of}{f', {what}' if what else ''}")
        if not self._is_terminal:
            self._write(f"{text}\n")
            return
        filled = _BAR * min(self._count, self._total) // self._total if self._total else 0
        bar = f"[{'#' * filled}{'.' * (_BAR - filled)}] " if self._total else ""
        self._write(f"{_CLEAR}{bar}{text}")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class _Silent(Progress):
    def _write(self, text: str) -> None:
        pass


@contextmanager
def progress(label: str, total: int = 0, *, is_quiet: bool = False) -> Iterator[Progress]:
    """Tell how far `label` has come, by `done()` of what is given; standard output is never
    written to."""
    shown = (_Silent if is_quiet else Progress)(label, total, sys.stderr)
    try:
        yield shown
    finally:
        shown.close()
