"""A short wait for drivers that are asked while a client waits, so that it mostly needs only one
request."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from threading import BoundedSemaphore, Event
from typing import TypeVar

from sqlalchemy.engine import Connection

from abaca.api.call import Call
from abaca.db.session import read
from abaca.domain.network_changes import share_network_checks
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.errors import CallerError, OverQuota

_LONGEST_WAIT_SECONDS = 2.0
_POLL_SECONDS = 0.02
_WAITING_AT_ONCE = 2

T = TypeVar("T")

_never = Event()


def settled(
    call: Call,
    attempt: Callable[[], T | PendingCheck],
    complaint: CallerError,
    is_pending: Callable[[Connection, str], bool] = share_network_checks.is_pending,
) -> T:
    """What `attempt` (a transaction of its own each time) comes to once the drivers have answered.
    Raises `complaint` when they take too long. `is_pending`: whether the answer to what has that id
    is still missing."""
    outcome = _awaited(call, attempt, is_pending)
    if isinstance(outcome, PendingCheck):
        raise complaint
    return outcome


def settled_or_none(
    call: Call,
    attempt: Callable[[], T | PendingCheck],
    is_pending: Callable[[Connection, str], bool],
) -> T | None:
    """The same for what an answer is worth giving without: None when the drivers take too long, or
    cannot be asked, for too much work of the project waits."""
    try:
        outcome = _awaited(call, attempt, is_pending)
    except OverQuota:
        return None
    return None if isinstance(outcome, PendingCheck) else outcome


def _awaited(
    call: Call,
    attempt: Callable[[], T | PendingCheck],
    is_pending: Callable[[Connection, str], bool],
) -> T | PendingCheck:
    outcome = attempt()
    if not isinstance(outcome, PendingCheck) or call.is_background:
        return outcome  # in the background there is one thread, which nobody may hold
    slots = waiting_slots(call.conf.api.threads)
    if not slots.acquire(blocking=False):
        return outcome
    try:
        deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
        while time.monotonic() < deadline:
            with read(call.engine) as conn:
                answered = not is_pending(conn, outcome.id)
            if answered:
                repeated = attempt()
                if not isinstance(repeated, PendingCheck):
                    return repeated
                outcome = repeated
            _never.wait(_POLL_SECONDS)
    finally:
        slots.release()
    return outcome


@cache
def waiting_slots(threads: int) -> BoundedSemaphore:
    """Slots for requests that wait for drivers, so that they do not starve other requests of this
    process: at least one thread stays free. A request without a slot has to be repeated."""
    return BoundedSemaphore(min(_WAITING_AT_ONCE, threads - 1))
