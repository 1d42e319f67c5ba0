"""Checks of credentials that take long, in threads of their own, with turns: first between clients,
then between a client's names.

Everything but the checks themselves happens in the event loop, so nothing is locked.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from abaca.api.door.refusals import Busy, ClientGone

_WAITING = 1024
_OF_ONE_LANE = 16


class QueueFull(Busy):
    """Too many checks wait, whoever they are for."""


class _Check:
    """One check, and how many wait for it."""

    def __init__(self, client: str, same: Hashable, work: Callable[[], Any]) -> None:
        self.client = client
        self.same = same
        self.work = work
        self.outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting = 0


class Turn:
    """Somebody's place in the queue, from when it was taken until it is left."""

    def __init__(self, check: _Check) -> None:
        self._check = check
        check.waiting += 1

    async def outcome(self, gone: asyncio.Future[None]) -> Any:
        """What the check's work gives, when its turn has come. Raises ClientGone when `gone` is
        done first."""
        await asyncio.wait({self._check.outcome, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not self._check.outcome.done():
            raise ClientGone()
        return self._check.outcome.result()

    def leave(self) -> None:
        """Give the place in the queue up."""
        self._check.waiting -= 1


class Checks:
    """`threads` of them at once, `of_one_client` of these for one client, and `of_one_lane`
    waiting.

    `nice`: how far their priority is below that of the threads that carry requests out.
    """

    def __init__(
        self,
        threads: int,
        *,
        nice: int = 0,
        of_one_client: int | None = None,
        of_one_lane: int = _OF_ONE_LANE,
    ) -> None:
        self._of_one_client = of_one_client or threads
        self._of_one_lane = of_one_lane
        self._free = threads
        self._threads = ThreadPoolExecutor(
            threads, "check", initializer=_stand_back, initargs=(nice,)
        )
        self._lanes: OrderedDict[str, OrderedDict[str, deque[_Check]]] = OrderedDict()
        self._number = 0
        self._known: dict[Hashable, _Check] = {}
        self._running: Counter[str] = Counter()  # by client

    async def outcome(
        self,
        client: str,
        name: str,
        same: Hashable,
        work: Callable[[], Any],
        gone: asyncio.Future[None],
    ) -> Any:
        """What `work()` gives, in its turn. Those who wait for the `same` share one check; one for
        which nobody waits any more is not begun.

        Raises Busy before any work when the lane (`client`, `name`) is full, ClientGone when `gone`
        is done first.
        """
        turn = self.enter(client, name, same, work)
        try:
            return await turn.outcome(gone)
        finally:
            turn.leave()

    def enter(self, client: str, name: str, same: Hashable, work: Callable[[], Any]) -> Turn:
        """Take a place for `work()` without waiting yet. Raises Busy when the lane is full,
        QueueFull when there are no places at all."""
        return Turn(self._known.get(same) or self._put(client, name, same, work))

    def is_waited_for(self, same: Hashable) -> bool:
        """Whether a check of the same is running, or waits for its turn."""
        return same in self._known

    def _put(self, client: str, name: str, same: Hashable, work: Callable[[], Any]) -> _Check:
        lane = self._lanes[client].get(name) if client in self._lanes else None
        if len(lane or ()) >= self._of_one_lane:
            raise Busy()
        if self._number >= _WAITING:
            raise QueueFull()
        check = self._known[same] = _Check(client, same, work)
        self._lanes.setdefault(client, OrderedDict()).setdefault(name, deque()).append(check)
        self._number += 1
        asyncio.get_running_loop().call_soon(self._begin)  # whoever asked is counted by then
        return check

    def _begin(self) -> None:
        """Give the free threads something to do."""
        while self._free and (check := self._take()) is not None:
            if check.waiting:
                self._free -= 1
                self._running[check.client] += 1
                done = asyncio.get_running_loop().run_in_executor(self._threads, check.work)
                done.add_done_callback(partial(self._end, check))
            else:
                del self._known[check.same]

    def _take(self) -> _Check | None:
        """The next one whose client may have another; this client, and this lane of it, go to the
        end. None: there is none."""
        client = next(
            (name for name in self._lanes if self._running[name] < self._of_one_client), None
        )
        if client is None:
            return None
        lanes = self._lanes.pop(client)
        name, lane = lanes.popitem(last=False)
        check = lane.popleft()
        if lane:
            lanes[name] = lane
        if lanes:
            self._lanes[client] = lanes
        self._number -= 1
        return check

    def _end(self, check: _Check, done: asyncio.Future[Any]) -> None:
        self._free += 1
        self._running -= Counter({check.client: 1})  # without those that have none left
        del self._known[check.same]
        error = done.exception()
        if error is None:
            check.outcome.set_result(done.result())
        else:
            check.outcome.set_exception(error)
        self._begin()


def _stand_back(nice: int) -> None:
    if nice:
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + nice)
