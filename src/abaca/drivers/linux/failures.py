"""Doing the same to many things: a failure with one does not keep the others from being done, and
is raised in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from abaca.drivers.linux.programs import os_errors_sorted
from abaca.errors import BackendError


class Failures:
    """The failures of one round over many things."""

    def __init__(self) -> None:
        self._found: list[BackendError] = []

    @contextmanager
    def collected(self, doing: str) -> Iterator[None]:
        """Keep a back end error, or one of the system's, that the block raises. `doing`: for the
        message of the latter."""
        try:
            with os_errors_sorted(doing):
                yield
        except BackendError as error:
            self._found.append(error)

    def raise_any(self) -> None:
        """Raise one error of the first one's kind with the messages of all, if there are any."""
        if self._found:
            raise type(self._found[0])("; ".join(error.message for error in self._found))
