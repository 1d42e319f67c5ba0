"""The few threads that carry requests out, and those that wait for one: bounded in number, and for each client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread

from abaca.api.door.refusals import Busy

_WAITING = 512
_OF_ONE_CLIENT = 128


class RequestThreads:
    """`number` threads of this process."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._waiting: SimpleQueue[tuple[str, Callable[[], object]]] = SimpleQueue()
        self._by_client: Counter[str] = Counter()
        self._lock = Lock()
        for _ in range(number):
            self._start()

    def are_behind(self) -> bool:
        """Whether more wait than there are threads, so that a client may have gone before its turn comes."""
        return self._waiting.qsize() > self._number

    def carry_out(self, client: str, work: Callable[[], object]) -> None:
        """Have a thread do it when its turn has come. Raises Busy when too many wait."""
        with self._lock:
            if self._waiting.qsize() >= _WAITING or self._by_client[client] >= _OF_ONE_CLIENT:
                raise Busy()
            self._by_client[client] += 1
        self._waiting.put((client, work))

    def _start(self) -> None:
        Thread(target=self._serve, name="request", daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                self._next()
        finally:
            self._start()  # a bug has ended this thread: another one takes its place

    def _next(self) -> None:
        client, work = self._waiting.get()
        with self._lock:
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]
        work()
