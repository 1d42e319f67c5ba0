"""The locks of share servers: shared or exclusive, by server, and nobody starves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from threading import Event
from typing import Any

import pytest

from abaca.workflow.locks import ServerLocks

SOON = 5.0
NOT_NOW = 0.05

Lock = Callable[[str], AbstractContextManager[object]]


class Holder:
    """Somebody who takes a lock in a thread of its own and holds it until `release`."""

    def __init__(self, threads: ThreadPoolExecutor, lock: Lock, server_id: str = "s1") -> None:
        self._has_it, self._may_go = Event(), Event()
        self._run: Future[None] = threads.submit(self._hold, lock, server_id)

    def _hold(self, lock: Lock, server_id: str) -> None:
        with lock(server_id):
            self._has_it.set()
            assert self._may_go.wait(SOON)

    def holds(self) -> bool:
        return self._has_it.wait(SOON)

    def waits(self) -> bool:
        return not self._has_it.wait(NOT_NOW)

    def release(self) -> None:
        self._may_go.set()
        self._run.result(SOON)


@pytest.fixture
def locks() -> ServerLocks:
    return ServerLocks()


@pytest.fixture
def hold(locks: ServerLocks) -> Iterator[Callable[..., Holder]]:
    """`hold(lock, server id)`: a `Holder`."""
    with ThreadPoolExecutor(8) as threads:
        holders: list[Holder] = []

        def take(lock: Lock, server_id: str = "s1") -> Holder:
            holders.append(Holder(threads, lock, server_id))
            return holders[-1]

        yield take
        for holder in holders:
            holder._may_go.set()


def test_any_number_share(locks: ServerLocks, hold: Callable[..., Holder]) -> None:
    assert all(holder.holds() for holder in [hold(locks.shared) for _ in range(4)])


def test_exclusive_is_alone(locks: ServerLocks, hold: Callable[..., Holder]) -> None:
    first = hold(locks.exclusive)
    assert first.holds()
    second, third = hold(locks.exclusive), hold(locks.shared)
    assert second.waits() and third.waits()
    first.release()
    assert second.holds()
    assert third.waits()
    second.release()
    assert third.holds()


def test_exclusive_waits_for_all_who_share(locks: ServerLocks, hold: Callable[..., Holder]) -> None:
    sharing = [hold(locks.shared) for _ in range(2)]
    assert all(holder.holds() for holder in sharing)
    alone = hold(locks.exclusive)
    assert alone.waits()
    sharing[0].release()
    assert alone.waits()
    sharing[1].release()
    assert alone.holds()


def test_who_waits_alone_goes_before_new_ones_who_share(
    locks: ServerLocks, hold: Callable[..., Holder]
) -> None:
    sharing = hold(locks.shared)
    assert sharing.holds()
    alone = hold(locks.exclusive)
    assert alone.waits()
    late = hold(locks.shared)
    assert late.waits()
    sharing.release()
    assert alone.holds()
    assert late.waits()
    alone.release()
    assert late.holds()


def test_servers_do_not_meet(locks: ServerLocks, hold: Callable[..., Holder]) -> None:
    assert hold(locks.exclusive, "s1").holds()
    assert hold(locks.exclusive, "s2").holds()
    assert hold(locks.shared, "s3").holds()


@pytest.mark.parametrize("kind", ["shared", "exclusive"])
def test_an_error_gives_it_back(locks: ServerLocks, hold: Callable[..., Holder], kind: str) -> None:
    lock: Any = getattr(locks, kind)
    with pytest.raises(KeyError), lock("s1"):
        raise KeyError
    assert hold(locks.exclusive).holds()


def test_nothing_is_remembered_of_servers_that_are_gone(locks: ServerLocks) -> None:
    for number in range(10):
        with locks.shared(f"s{number}"):
            pass
        with locks.exclusive(f"s{number}"):
            pass
    assert not locks._shared and not locks._exclusive and not locks._waiting


def test_a_server_that_hangs_is_entered_without_its_lock(
    locks: ServerLocks, hold: Callable[..., Holder]
) -> None:
    """By those who wait as well as by those who come, until the call is back."""
    call: Future[None] = Future()
    with locks.exclusive("s1") as first:
        waiting = hold(locks.shared)
        assert waiting.waits()
        first.keep_out_until(call)
        assert waiting.holds() and first.is_kept_out
    with locks.exclusive("s1") as late:
        assert not late.has_lock
    with locks.exclusive("s2") as other:
        assert other.has_lock
    call.set_result(None)
    waiting.release()
    with locks.exclusive("s1") as again:
        assert again.has_lock and not again.is_kept_out


def test_a_share_that_hangs_keeps_no_other_of_its_back_end_waiting(locks: ServerLocks) -> None:
    """The outer lock, which others share, stays open."""
    call: Future[None] = Future()
    with locks.shared("back end"), locks.shared("i1", "this share") as first:
        first.keep_out_until(call)
    with locks.shared("back end"), locks.shared("i2", "this share") as other:
        assert other.has_lock and not other.is_kept_out
    with locks.shared("back end"), locks.shared("i1", "this share") as same:
        assert same.hanging == "this share"
    with locks.exclusive("back end") as whole:
        assert whole.has_lock and not whole.is_kept_out
    call.set_result(None)
    with locks.shared("back end"), locks.shared("i1", "this share") as again:
        assert not again.is_kept_out


def test_a_back_end_that_hangs_keeps_all_its_shares_out(locks: ServerLocks) -> None:
    call: Future[None] = Future()
    with locks.exclusive("back end", "all shares") as whole:
        whole.keep_out_until(call)
    with locks.shared("back end", "all shares"), locks.shared("i1", "this share") as share:
        assert share.has_lock and share.hanging == "all shares"
    call.set_result(None)
    with locks.shared("back end", "all shares"), locks.shared("i1", "this share") as share:
        assert not share.is_kept_out


def test_a_group_that_hangs_keeps_all_its_members_out(locks: ServerLocks) -> None:
    call: Future[None] = Future()
    with locks.shared("back end"), locks.exclusive("i1"), locks.exclusive("i2") as last:
        last.keep_out_until(call)
    for member in ("i1", "i2"):
        with locks.shared("back end"), locks.shared(member) as share:
            assert share.is_kept_out
    with locks.shared("back end"), locks.shared("i3") as other:
        assert not other.is_kept_out
    call.set_result(None)


def test_who_holds_a_group_waits_for_the_work_on_its_members(
    locks: ServerLocks, hold: Callable[..., Holder]
) -> None:
    work = hold(locks.shared, "i1")
    assert work.holds()
    group = hold(locks.exclusive, "i1")
    assert group.waits()
    work.release()
    assert group.holds()
