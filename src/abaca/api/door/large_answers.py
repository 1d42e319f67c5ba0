"""Large answers of this process that are still being taken: how many bytes of them there may be at
once, in all and of one client.

Granian keeps an answer until its client has taken it, however slowly that happens. What is below
`LARGE` bytes is not counted: there cannot be more of these than connections.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import Protocol

LARGE = 2 * 1024 * 1024


class Taker(Protocol):
    """The other end of a connection."""

    def taken(self) -> int | None:
        """Bytes since it was asked for first; None when the connection has ended."""

    def release(self) -> None:
        """Stop counting; the connection is left open."""


class LargeAnswers:
    """At most `most` bytes, a quarter of them of one client. One alone may be larger."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._under_way: list[tuple[str, Taker, int]] = []

    def admit(self, client: str, taker: Taker, size: int) -> bool:
        """An answer of that size is about to be given to Granian. False when there are too many
        already; then `taker` is released."""
        with self._lock:
            self._forget_what_was_taken()
            held: Counter[str] = Counter()
            for whose, _, bytes_ in self._under_way:
                held[whose] += bytes_
            is_first, is_first_of_client = not held, not held[client]
            fits = is_first or held.total() + size <= self._most
            if not fits or not (is_first_of_client or held[client] + size <= self._most // 4):
                taker.release()
                return False
            self._under_way.append((client, taker, size))
            return True

    def look(self) -> int:
        """Let those go that have been taken; how many are left."""
        with self._lock:
            self._forget_what_was_taken()
            return len(self._under_way)

    def _forget_what_was_taken(self) -> None:
        still = []
        for whose, taker, size in self._under_way:
            taken = taker.taken()
            if taken is None or taken >= size:
                taker.release()
            else:
                still.append((whose, taker, size))
        self._under_way = still
