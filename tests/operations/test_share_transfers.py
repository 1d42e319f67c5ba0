"""Shares without share servers pass to other projects on a running back end, while clients go on,
and whatever else is asked for at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import begin, is_sqlite, read
from abaca.domain.shares import (
    access_rules,
    resource_locks,
    share_instances,
    share_management,
    share_metadata,
    shares,
    soft_deletion,
)
from abaca.domain.snapshots import snapshot_access, snapshots
from abaca.domain.transfers import share_transfers
from abaca.domain.transfers.share_transfers import Offer
from abaca.errors import CallerError, Forbidden, Invalid, Missing
from abaca.values import Caller
from tests.operations.conftest import Install
from tests.operations.invariants import broken
from tests.operations.scene import (
    allow,
    enforced,
    instance_of,
    settled_rules,
    share,
    slate,
    told,
    world,
)
from tests.operations.test_without_share_servers import made_share, plain
from tests.stack import ADMIN, MEMBER, Stack, wait_for

pytestmark = [pytest.mark.each_database, pytest.mark.sampled_file(4)]

OTHER = Caller(user_id="other", project_id="another-project", roles=("member",), is_admin=False)
THIRD = Caller(user_id="third", project_id="a-third", roles=("member",), is_admin=False)
COUNTED = (
    *("shares", "gigabytes", "share_networks", "snapshots", "snapshot_gigabytes"),
    *("backups", "backup_gigabytes", "share_groups", "share_group_snapshots"),
)
LIMITS = dict.fromkeys(COUNTED, 50)
ROUNDS = 8
MEETINGS = 4
"""Of two requests, each as often the first one as the second. A share is made for each."""


@pytest.fixture
def stack(install: Install) -> Iterator[Stack]:
    made = plain(install)
    with made.working():
        yield made
        assert broken(made.engine, LIMITS) == []


def offer(stack: Stack, share_id: str, who: Caller = MEMBER, seconds: int = 300) -> Offer:
    made: Offer = stack.do(share_transfers.create, who, share_id, None, seconds)
    return made


def accepted(stack: Stack, made: Offer, who: Caller = OTHER, *, clear: bool = False) -> bool:
    """Whether the offer could be accepted with its key."""
    with begin(stack.engine) as conn:
        return share_transfers.accept(
            conn,
            who,
            made.id,
            made.auth_key,
            clear_access_rules=clear,
            quota_defaults=dict.fromkeys(LIMITS, -1),
        )


def project_of(stack: Stack, share_id: str) -> str:
    return str(share(stack, share_id)["project_id"])


def at_once(*requests: Callable[[], Any]) -> list[Any]:
    """What each gives, or the caller's error that it ends with; all of them start together."""
    start = Barrier(len(requests))

    def ask(request: Callable[[], Any]) -> Any:
        start.wait(30)
        try:
            return request()
        except CallerError as error:
            return error

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(ask, requests))


# --- one after the other --------------------------------------------------------------------------


def test_clients_go_on_while_a_share_changes_hands(stack: Stack) -> None:
    before = slate(stack)
    id_ = made_share(stack, size=2)
    allow(stack, id_, "10.0.0.0/8")
    assert settled_rules(stack, id_) == "active"
    snapshot = stack.snapshot(id_)
    assert stack.settled_snapshot(snapshot) == "available"
    standing = world(stack)
    assert accepted(stack, offer(stack, id_))
    assert world(stack) == standing, "a back end is not told"
    assert project_of(stack, id_) == OTHER.project_id
    assert (settled_rules(stack, id_), enforced(stack, id_)) == ("active", {"10.0.0.0/8"})
    stack.do(shares.extend, OTHER, id_, 3)
    assert stack.settled_share(id_) == "available"
    stack.do(snapshots.delete, OTHER, snapshot)
    assert stack.settled_snapshot(snapshot) == "gone"
    stack.do(shares.delete, OTHER, id_)
    assert stack.settled_share(id_) == "gone"
    assert slate(stack) == before and told(stack) == []


def test_rules_of_share_and_snapshots_are_taken_away_on_request(stack: Stack) -> None:
    id_ = made_share(stack)
    allow(stack, id_, "10.0.0.1")
    assert settled_rules(stack, id_) == "active"
    snapshot = stack.snapshot(id_)
    assert stack.settled_snapshot(snapshot) == "available"
    rule = {"access_type": "ip", "access_to": "10.0.0.2"}
    stack.do(snapshot_access.allow, MEMBER, snapshot, **rule)

    def mounted_by() -> set[str]:
        (one,) = world(stack)["snapshots"].values()
        return {each["access_to"] for each in one["access_rules"]}

    assert wait_for(lambda: mounted_by() == {"10.0.0.1", "10.0.0.2"})
    assert wait_for(lambda: [one["state"] for one in own(stack, snapshot)] == ["active"])
    assert accepted(stack, offer(stack, id_), clear=True)
    assert wait_for(lambda: enforced(stack, id_) == set() and mounted_by() == set())
    assert wait_for(lambda: own(stack, snapshot, OTHER) == [])
    assert stack.do(access_rules.find, OTHER, id_) == []


def own(stack: Stack, snapshot: str, who: Caller = MEMBER) -> list[dict[str, Any]]:
    """The rules of a snapshot's own."""
    found: list[dict[str, Any]] = stack.do(snapshot_access.find, who, snapshot)
    return found


def test_an_offered_share_is_left_alone(stack: Stack) -> None:
    """It can only be accepted or withdrawn, or deleted by an administrator's force."""
    id_ = made_share(stack)
    made = offer(stack, id_)
    asked: tuple[Callable[[], Any], ...] = (
        partial(stack.do, shares.delete, MEMBER, id_),
        partial(stack.do, shares.extend, MEMBER, id_, 2),
        partial(stack.do, share_management.unmanage, ADMIN, id_),
        partial(stack.do, soft_deletion.soft_delete, MEMBER, id_, 60),
        partial(stack.snapshot, id_),
        partial(allow, stack, id_, "10.0.0.1"),
        partial(offer, stack, id_),
    )
    for refused in asked:
        with pytest.raises((Invalid, Forbidden), match="awaiting_transfer"):
            refused()
    stack.do(shares.force_delete, ADMIN, id_)
    assert not accepted(stack, made)
    assert stack.settled_share(id_) == "gone"


def test_an_administrators_reset_ends_an_offer(stack: Stack) -> None:
    id_ = made_share(stack)
    resets: tuple[Callable[[], None], ...] = (
        partial(stack.do, shares.reset_status, ADMIN, id_, "error"),
        partial(stack.do, share_instances.reset_status, instance_of(stack, id_).id, "error"),
    )
    for reset in resets:
        made = offer(stack, id_)
        reset()
        assert not accepted(stack, made) and broken(stack.engine, LIMITS) == []
        stack.do(shares.reset_status, ADMIN, id_, "available")
    with pytest.raises(Invalid, match="Valid states"):
        stack.do(shares.reset_status, ADMIN, id_, "awaiting_transfer")


# --- at the same moment ---------------------------------------------------------------------------


def test_shares_pass_in_both_directions_at_once(stack: Stack) -> None:
    """Neither waits for the other for ever, and each project counts what it has."""
    ours, theirs = made_share(stack), made_share(stack, size=2)
    assert accepted(stack, offer(stack, theirs))
    owners = {ours: MEMBER, theirs: OTHER}
    for _ in range(ROUNDS):
        offers = {id_: offer(stack, id_, who) for id_, who in owners.items()}
        owners = {id_: OTHER if who is MEMBER else MEMBER for id_, who in owners.items()}
        answers = at_once(
            *[partial(accepted, stack, offers[id_], who) for id_, who in owners.items()]
        )
        assert answers == [True, True]
        assert {id_: project_of(stack, id_) for id_ in owners} == {
            id_: who.project_id for id_, who in owners.items()
        }
        assert broken(stack.engine, LIMITS) == []


Ending = Callable[[Stack, str, Offer], Any]
ENDINGS: dict[str, tuple[Ending, set[str]]] = {
    "withdrawn": (
        lambda stack, _, made: stack.do(share_transfers.delete, MEMBER, made.id),
        {"True Missing", "False None"},
    ),
    "taken by another": (
        lambda stack, _, made: accepted(stack, made, THIRD),
        {"True False", "False True"},
    ),
    "share deleted": (
        lambda stack, share_id, _: stack.do(shares.force_delete, ADMIN, share_id),
        {"True None", "False None"},
    ),
    "status reset": (
        lambda stack, share_id, _: stack.do(shares.reset_status, ADMIN, share_id, "error"),
        {"True None", "False None"},
    ),
    "share locked": (
        lambda stack, share_id, _: stack.do(lock_against_deletion, share_id),
        {"True Missing", "Invalid locked"},
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_offer_is_accepted_while_something_ends_it(stack: Stack, ending: str) -> None:
    """One of both comes first, and what is stored is whole after either."""
    end, possible = ENDINGS[ending]
    for number in range(MEETINGS):
        id_ = made_share(stack)
        made = offer(stack, id_)
        pair: list[Callable[[], Any]] = [
            partial(accepted, stack, made),
            partial(end, stack, id_, made),
        ]
        answers = at_once(*(pair if number % 2 else reversed(pair)))
        taken, ended = answers if number % 2 else reversed(answers)
        assert f"{spoken(taken)} {spoken(ended)}" in possible
        assert spoken(*at_once(partial(accepted, stack, made))) in ("False", "Invalid")
        assert broken(stack.engine, LIMITS) == []


def test_a_snapshot_is_deleted_while_its_share_is_taken(stack: Stack) -> None:
    for number in range(MEETINGS):
        id_ = made_share(stack)
        snapshot = stack.snapshot(id_)
        assert stack.settled_snapshot(snapshot) == "available"
        made = offer(stack, id_)
        pair: list[Callable[[], Any]] = [
            partial(accepted, stack, made),
            partial(stack.do, snapshots.delete, MEMBER, snapshot),
        ]
        answers = at_once(*(pair if number % 2 else reversed(pair)))
        taken, deleted = answers if number % 2 else reversed(answers)
        assert f"{spoken(taken)} {spoken(deleted)}" in {
            "True Missing",  # it is another project's already
            "Invalid None",
            "True None",  # it was gone before
        }
        if taken is not True:
            assert stack.settled_snapshot(snapshot) == "gone"
            assert accepted(stack, made)
        assert project_of(stack, id_) == OTHER.project_id
        assert broken(stack.engine, LIMITS) == []


Asked = Callable[[Stack, str], Any]
ASKED: dict[str, Asked] = {
    "access": lambda stack, share_id: allow(stack, share_id, "10.6.6.6"),
    "a lock": lambda stack, share_id: stack.do(lock_against_deletion, share_id),
    "a snapshot": lambda stack, share_id: stack.snapshot(share_id),
    "its deletion": lambda stack, share_id: stack.do(shares.delete, MEMBER, share_id),
    "its schedule": lambda stack, share_id: stack.do(
        share_metadata.change, MEMBER, share_id, lambda _: {"snapshot_schedule": "hourly:1"}
    ),
    "it to be public": lambda stack, share_id: stack.do(
        shares.update, MEMBER, share_id, {"is_public": True}
    ),
}


@pytest.mark.parametrize("asked", ASKED)
def test_who_has_waited_for_a_share_that_is_taken_gets_nothing(stack: Stack, asked: str) -> None:
    """The donor's request has found its share, and goes on once that is another project's."""
    id_ = made_share(stack)
    made = offer(stack, id_)
    with ThreadPoolExecutor(1) as pool:
        with begin(stack.engine) as conn:
            assert share_transfers.accept(
                conn, OTHER, made.id, made.auth_key, clear_access_rules=True, quota_defaults=None
            )
            answer = pool.submit(ASKED[asked], stack, id_)
            wait_for(lambda: is_waited_for(stack, conn))
        with pytest.raises(Missing):
            answer.result(60)
    found = share(stack, id_)
    assert (found["project_id"], found["is_public"]) == (OTHER.project_id, False)
    assert (found["status"], broken(stack.engine, LIMITS)) == ("available", [])


def is_waited_for(stack: Stack, conn: Connection) -> bool:
    """Whether somebody waits for this transaction. On SQLite the others have not begun."""
    if is_sqlite(conn):
        return True
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid))"
    pid = conn.scalar(sa.text("SELECT pg_backend_pid()"))
    with read(stack.engine) as reader:
        return bool(reader.scalar(sa.text(blocked), {"pid": pid}))


def spoken(answer: Any) -> str:
    return type(answer).__name__ if isinstance(answer, CallerError) else str(answer)


def lock_against_deletion(conn: Connection, share_id: str) -> str:
    resource_locks.create(conn, MEMBER, resource_type="share", resource_id=share_id)
    return "locked"
