"""Inside a worker, an operation on a share server excludes the operations on that server's shares: one lock a server, shared or exclusive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class ServerLocks:
    """Reader-writer locks by share server id. A waiting exclusive holder goes before new shared ones, so it is never starved."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._shared: dict[str, int] = defaultdict(int)
        self._exclusive: set[str] = set()
        self._waiting: dict[str, int] = defaultdict(int)

    @contextmanager
    def shared(self, server_id: str) -> Iterator[None]:
        """Held by operations on one share of the server; any number at once."""
        with self._changed:
            self._changed.wait_for(lambda: server_id not in self._exclusive and not self._waiting.get(server_id))
            self._shared[server_id] += 1
        try:
            yield
        finally:
            with self._changed:
                self._shared[server_id] -= 1
                if not self._shared[server_id]:
                    del self._shared[server_id]
                self._changed.notify_all()

    @contextmanager
    def exclusive(self, server_id: str) -> Iterator[None]:
        """Held by an operation that changes the server itself; alone."""
        with self._changed:
            self._waiting[server_id] += 1
            self._changed.wait_for(lambda: server_id not in self._exclusive and not self._shared.get(server_id))
            self._waiting[server_id] -= 1
            if not self._waiting[server_id]:
                del self._waiting[server_id]
            self._exclusive.add(server_id)
        try:
            yield
        finally:
            with self._changed:
                self._exclusive.discard(server_id)
                self._changed.notify_all()
