"""Locks of share servers inside a worker: an operation on a server excludes operations on its
shares. One lock per server, shared or exclusive.

On a back end without share servers there is one lock for the back end, shared by the work on its
shares, and inside it one for each share instance.

While a driver's call about a server hangs, the server is excluded from all work: whoever waits for
its lock, or requests it, proceeds without the lock and finds every effect refused (see
`steps.effect`). So such a server blocks only its own work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Condition
from typing import Any

_HELD: ContextVar[Hold | None] = ContextVar("held", default=None)


class Hold:
    """What the operation of this context holds: the lock of one share server, or nothing if that
    server hangs; and what it held when it took this lock (`outer`).

    `name`: what the lock is of, for messages that projects may read.
    """

    def __init__(
        self, locks: ServerLocks, server_id: str, name: str, *, has_lock: bool, is_exclusive: bool
    ) -> None:
        self.server_id = server_id
        self.has_lock = has_lock
        self.is_exclusive = is_exclusive
        self.outer = held()
        self._name = name or f"share server {server_id}"
        self._locks = locks

    @property
    def hanging(self) -> str | None:
        """The name of what is held and has a call that has not come back; None if there is none."""
        if not self.has_lock or self._locks.hangs(self.server_id):
            return self._name
        return self.outer.hanging if self.outer else None

    @property
    def is_kept_out(self) -> bool:
        """Whether a call about what is held has not come back."""
        return self.hanging is not None

    def keep_out_until(self, call: Future[Any]) -> None:
        """Nobody begins anything on what is held until `call` has come back. An outer lock that is
        shared stays open: others use what it is of."""
        self._locks.keep_out_until(call, self.server_id)
        if self.outer is not None and self.outer.is_exclusive:
            self.outer.keep_out_until(call)


def held() -> Hold | None:
    """The `Hold` of this context; None outside of a lock."""
    return _HELD.get()


def is_kept_out() -> bool:
    """Whether this context is about a share server with a hanging call."""
    hold = held()
    return hold is not None and hold.is_kept_out


class ServerLocks:
    """Reader-writer locks by share server id. A waiting exclusive holder goes before new shared
    ones, so it is never starved."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._shared: dict[str, int] = defaultdict(int)
        self._exclusive: set[str] = set()
        self._waiting: dict[str, int] = defaultdict(int)
        self._hanging: dict[str, int] = defaultdict(int)

    @contextmanager
    def shared(self, server_id: str, name: str = "") -> Iterator[Hold]:
        """Held by operations on one share of the server; any number at once. `name`: see `Hold`."""
        with self._changed:
            has_lock = self._get(
                server_id,
                lambda: server_id not in self._exclusive and not self._waiting.get(server_id),
            )
            if has_lock:
                self._shared[server_id] += 1
        mine = Hold(self, server_id, name, has_lock=has_lock, is_exclusive=False)
        with self._inside(mine) as hold:
            yield hold

    @contextmanager
    def exclusive(self, server_id: str, name: str = "") -> Iterator[Hold]:
        """Held by an operation that changes the server itself; alone. `name`: see `Hold`."""
        with self._changed:
            self._waiting[server_id] += 1
            has_lock = self._get(
                server_id,
                lambda: server_id not in self._exclusive and not self._shared.get(server_id),
            )
            _less(self._waiting, server_id)
            if has_lock:
                self._exclusive.add(server_id)
        mine = Hold(self, server_id, name, has_lock=has_lock, is_exclusive=True)
        with self._inside(mine) as hold:
            yield hold

    def hangs(self, server_id: str) -> bool:
        """Whether a call about the server hangs."""
        with self._changed:
            return server_id in self._hanging

    def keep_out_until(self, call: Future[Any], server_id: str) -> None:
        """Until `call` returns, let everybody who waits for the server, or comes later, proceed
        without the lock."""
        with self._changed:
            self._hanging[server_id] += 1
            self._changed.notify_all()
        call.add_done_callback(lambda _: self._came_back(server_id))

    def _came_back(self, server_id: str) -> None:
        with self._changed:
            _less(self._hanging, server_id)

    def _get(self, server_id: str, is_free: Callable[[], bool]) -> bool:
        self._changed.wait_for(lambda: server_id in self._hanging or is_free())
        return server_id not in self._hanging

    @contextmanager
    def _inside(self, hold: Hold) -> Iterator[Hold]:
        token = _HELD.set(hold)
        try:
            yield hold
        finally:
            _HELD.reset(token)
            if hold.has_lock:
                with self._changed:
                    if hold.is_exclusive:
                        self._exclusive.discard(hold.server_id)
                    else:
                        _less(self._shared, hold.server_id)
                    self._changed.notify_all()


def _less(counts: dict[str, int], server_id: str) -> None:
    counts[server_id] -= 1
    if not counts[server_id]:
        del counts[server_id]
