"""Pause the clients of one share server for a moment: packets to its NFS server are dropped, and
TCP retransmits them.

The kernel ends the pause after `MOST_SECONDS`, even if the worker has died: before the leases of
clients (10 s) expire.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from abaca.drivers.linux import namespaces, packet_filter, processes
from abaca.errors import OutcomeUnknown, Unavailable

TABLE = ("inet", "abaca_hold")
MOST_SECONDS = 5
SETTLE_SECONDS = 0.02  # from the last packet until the NFS server has taken it up
MOST_UNDER_WAY_SECONDS = 1.0
REST_SECONDS = 10.0
TURN_SECONDS = 60.0
# The loopback stays open: by it the worker asks whether the NFS server serves.
_FILTER = f"""\
set held {{ type inet_service; flags timeout; elements = {{ 2049 timeout {MOST_SECONDS}s }}; }}
chain arriving {{
    type filter hook input priority raw; policy accept;
    iif != lo tcp dport @held drop
}}
"""


class Pause(NamedTuple):
    """`is_complete`: earlier requests had been dealt with when it began. `ends_at`: when the kernel
    ends it, by the monotonic clock."""

    is_complete: bool
    ends_at: float

    def require_kept(self) -> None:
        """Raises Unavailable unless nothing that clients asked for has been done since it began."""
        if not self.is_complete:
            raise Unavailable(
                "Requests of clients that were under way took too long to be waited for.",
                is_public=True,
            )
        if time.monotonic() >= self.ends_at:
            raise Unavailable(
                f"It took longer than the {MOST_SECONDS} seconds for which clients may be kept "
                "waiting.",
                is_public=True,
            )


@contextmanager
def clients_paused(namespace: str, is_idle: Callable[[], bool]) -> Iterator[Pause]:
    """While the block runs, clients of the share server in this namespace wait, and see no error.
    Keep it short.

    Begins when the NFS server is idle, or after a second if earlier requests take longer.
    """
    ends_at = time.monotonic() + MOST_SECONDS  # the kernel counts from a moment later
    namespaces.inside(namespace, lambda _: packet_filter.replace_table(*TABLE, _FILTER))
    try:
        threading.Event().wait(SETTLE_SECONDS)
        is_complete = processes.wait_until(is_idle, MOST_UNDER_WAY_SECONDS)
        yield Pause(is_complete, ends_at)
    finally:
        release(namespace)


def release(namespace: str) -> None:
    """End the pause, also one that a dead worker began."""
    namespaces.inside(namespace, lambda _: packet_filter.delete_table(*TABLE))


class Turns:
    """Pauses of clients, one at a time and with a rest after each. Of the projects that wait, it is
    the turn of the one whose last turn is the longest ago: none keeps others waiting by asking
    often.

    `rest`, `patience`: seconds between two pauses, and for which a turn is waited for. After one
    that is tried again the rest is `REST_SECONDS`, or clients that heard nothing in between would
    lose their leases.
    """

    def __init__(self, rest: float = REST_SECONDS, patience: float = TURN_SECONDS) -> None:
        self._rest = rest
        self._patience = patience
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: list[tuple[str, int]] = []  # project and number
        self._last_turns: dict[str, int] = {}  # numbers by project
        self._is_taken = False
        self._rested_at = 0.0  # by the monotonic clock

    @contextmanager
    def taken(self, project_id: str) -> Iterator[None]:
        """While the block runs, nobody else has a turn. Raises Unavailable when none is had in
        time."""
        self._take(project_id)
        rest = self._rest
        try:
            threading.Event().wait(max(0.0, self._rested_at - time.monotonic()))
            yield
        except (Unavailable, OutcomeUnknown):
            rest = max(rest, REST_SECONDS)
            raise
        finally:
            with self._changed:
                self._rested_at = time.monotonic() + rest
                self._is_taken = False
                self._changed.notify_all()

    def _take(self, project_id: str) -> None:
        with self._changed:
            mine = project_id, next(self._numbers)
            self._waiting.append(mine)
            is_mine = self._changed.wait_for(
                lambda: not self._is_taken and self._first() == mine, self._patience
            )
            self._waiting.remove(mine)
            if not is_mine:
                self._changed.notify_all()  # it may have been the first
                raise Unavailable(
                    "Another change is pausing clients of this back end; this one has to wait.",
                    is_public=True,
                )
            self._is_taken = True
            self._last_turns[project_id] = next(self._numbers)

    def _first(self) -> tuple[str, int]:
        return min(self._waiting, key=lambda each: (self._last_turns.get(each[0], -1), each[1]))
