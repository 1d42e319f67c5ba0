"""The few threads that carry requests out, and those that wait for one: bounded in number, and for
each client; clients take turns.

A client may have as many waiting as places are free. So a few clients that want all places leave
some: of `n` of them each has one place in `n + 1`, and as many are left for others.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread

from abaca.api.door.refusals import Busy

_WAITING = 512
_OF_ONE_CLIENT = 128
# a request that arrives waits so long for Python while others are carried out; 0.005 is Python's
# own
_SWITCH_SECONDS = 0.0005


class RequestThreads:
    """`number` threads of this process."""

    def __init__(self, number: int) -> None:
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._number = number
        self._signals: SimpleQueue[None] = SimpleQueue()  # one for each that waits
        # by client, whose turn is next first
        self._waiting: OrderedDict[str, deque[Callable[[], object]]] = OrderedDict()
        self._lock = Lock()
        for _ in range(number):
            self._start()

    def are_behind(self) -> bool:
        """Whether more wait than there are threads, so that a client may have gone before its turn
        comes."""
        return self._signals.qsize() > self._number

    def carry_out(self, client: str, work: Callable[[], object]) -> None:
        """Have a thread do it when its turn has come. Raises Busy when too many wait."""
        with self._lock:
            waiting = self._waiting.get(client) or deque()
            free = _WAITING - self._signals.qsize()
            if len(waiting) >= min(free, _OF_ONE_CLIENT):
                raise Busy()
            waiting.append(work)
            self._waiting[client] = waiting
        self._signals.put(None)

    def _start(self) -> None:
        Thread(target=self._serve, name="request", daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                self._signals.get()
                self._take()()
        finally:
            self._start()  # a bug has ended this thread: another one takes its place

    def _take(self) -> Callable[[], object]:
        """The next one; its client goes to the end."""
        with self._lock:
            client, waiting = self._waiting.popitem(last=False)
            work = waiting.popleft()
            if waiting:
                self._waiting[client] = waiting
        return work
