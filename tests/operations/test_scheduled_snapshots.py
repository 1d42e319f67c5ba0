"""Snapshots are taken by their schedule, and the surplus of them is deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db.session import begin, utcnow
from abaca.db.tables import quota_usages, share_instances, shares
from abaca.db.tables import snapshot_schedules as table
from abaca.domain.shares import share_metadata, soft_deletion
from abaca.domain.shares.schedules import SNAPSHOTS
from abaca.domain.snapshots import scheduled_snapshots, snapshots
from abaca.reconcile.schedules import take_due
from abaca.values import Page
from tests.operations.scene import available_share, failing, plan, share, told, world
from tests.stack import MEMBER, Stack

HOSTS = {"host1@alpha"}
NO_LIMITS: dict[str, int] = {}


@pytest.fixture
def share_network(stack: Stack) -> str:
    stack.share_type("snap", snapshot_support="True")
    return stack.share_network(*stack.network("10.1.0.0/24"))


def scheduled_share(stack: Stack, share_network_id: str, schedule: str) -> str:
    metadata = {"snapshot_schedule": schedule}
    return available_share(stack, share_network_id, share_type="snap", metadata=metadata)


def pass_over(stack: Stack, hosts: set[str] = HOSTS, limits: dict[str, int] = NO_LIMITS) -> None:
    take_due(stack.engine, hosts, limits)


def let_time_pass(stack: Stack, share_id: str) -> None:
    with begin(stack.engine) as conn:
        conn.execute(
            sa.update(table)
            .where(table.c.share_id == share_id)
            .values(next_at=utcnow() - timedelta(seconds=1))
        )


def taken(stack: Stack, share_id: str) -> list[dict[str, Any]]:
    """The snapshots of a share, once nothing goes on with them, the newest first."""
    for view in stack.ask(snapshots.LISTING.find, MEMBER, {"share_id": share_id}, Page()):
        stack.settled_snapshot(view["id"])
    return list(stack.ask(snapshots.LISTING.find, MEMBER, {"share_id": share_id}, Page()))


def take_one(stack: Stack, share_id: str) -> str:
    """The id of the snapshot that the schedule has taken now."""
    before = {view["id"] for view in taken(stack, share_id)}
    let_time_pass(stack, share_id)
    pass_over(stack)
    (new,) = [view for view in taken(stack, share_id) if view["id"] not in before]
    pass_over(stack)  # deletes the surplus
    taken(stack, share_id)
    return str(new["id"])


def row(stack: Stack, share_id: str) -> sa.Row[Any]:
    query = sa.select(table).where(table.c.share_id == share_id)
    found: sa.Row[Any] = stack.ask(lambda conn: conn.execute(query).one())
    return found


def test_one_is_taken_when_its_time_has_come_and_not_before(
    stack: Stack, share_network: str
) -> None:
    due, other = [scheduled_share(stack, share_network, "hourly:2") for _ in range(2)]
    pass_over(stack)
    assert taken(stack, due) == []
    let_time_pass(stack, due)
    pass_over(stack, {"host1@other"})
    assert taken(stack, due) == []
    pass_over(stack)
    pass_over(stack)
    (view,) = taken(stack, due)
    assert (view["status"], view["metadata"], view["project_id"], view["user_id"]) == (
        "available",
        {"snapshot_schedule": "hourly"},
        MEMBER.project_id,
        MEMBER.user_id,
    )
    assert view["name"].startswith("hourly-20")
    assert len(world(stack)["snapshots"]) == 1
    assert taken(stack, other) == []
    assert utcnow() < row(stack, due).next_at <= utcnow() + timedelta(hours=1)


def test_the_oldest_go_and_those_of_others_stay(stack: Stack, share_network: str) -> None:
    id_ = scheduled_share(stack, share_network, "hourly:2")
    by_hand = stack.snapshot(id_)
    assert stack.settled_snapshot(by_hand) == "available"
    made = [take_one(stack, id_) for _ in range(2)]
    stack.do(snapshots.change_metadata, MEMBER, made[0], lambda _: {})  # kept from now on
    made += [take_one(stack, id_) for _ in range(3)]
    left = [view["id"] for view in taken(stack, id_)]
    assert sorted(left) == sorted([by_hand, made[0], made[3], made[4]])
    usage = sa.select(quota_usages.c.snapshots).where(quota_usages.c.user_id == "")
    counted = stack.ask(lambda conn: set(conn.scalars(usage.where(quota_usages.c.snapshots > 0))))
    assert counted == {4}


def test_a_full_quota_is_told_once_and_the_others_go_on(stack: Stack, share_network: str) -> None:
    id_ = scheduled_share(stack, share_network, "daily:2")
    for _ in range(2):
        let_time_pass(stack, id_)
        pass_over(stack, limits={"snapshots": 0})
    assert taken(stack, id_) == []
    (message,) = told(stack)
    assert message.startswith("The daily snapshot of the share was not taken: ")
    assert row(stack, id_).next_at > utcnow()
    take_one(stack, id_)
    assert len(taken(stack, id_)) == 1


def test_a_failed_one_takes_no_good_one_away(stack: Stack, share_network: str) -> None:
    id_ = scheduled_share(stack, share_network, "hourly:1")
    good = take_one(stack, id_)
    plan(stack, failing("create_snapshot", "refused"))
    failed = take_one(stack, id_)
    assert {view["id"]: view["status"] for view in taken(stack, id_)} == {
        good: "available",
        failed: "error",
    }
    plan(stack)
    newest = take_one(stack, id_)
    assert [view["id"] for view in taken(stack, id_)] == [newest]


def test_one_that_fails_first_stays_until_a_good_one_comes(
    stack: Stack, share_network: str
) -> None:
    id_ = scheduled_share(stack, share_network, "hourly:1")
    plan(stack, failing("create_snapshot", "refused"))
    failed = take_one(stack, id_)
    assert row(stack, id_).newest_snapshot_id is None
    assert [view["id"] for view in taken(stack, id_)] == [failed]


def test_what_another_pass_has_taken_is_not_taken_again(stack: Stack, share_network: str) -> None:
    id_ = scheduled_share(stack, share_network, "hourly:2")
    let_time_pass(stack, id_)
    (scheduled,) = stack.ask(SNAPSHOTS.due, HOSTS)
    for _ in range(2):
        stack.do(scheduled_snapshots.take, scheduled)
    assert len(taken(stack, id_)) == 1


def test_projects_take_turns(stack: Stack, share_network: str) -> None:
    others = [scheduled_share(stack, share_network, "hourly:1") for _ in range(3)]
    id_ = scheduled_share(stack, share_network, "hourly:1")
    stack.do(
        lambda conn: conn.execute(
            sa.update(shares).where(shares.c.id == id_).values(project_id="another")
        )
    )
    for share_id in (*others, id_):
        let_time_pass(stack, share_id)
    found = stack.ask(SNAPSHOTS.due, HOSTS, 2)
    assert id_ in {scheduled.share_id for scheduled in found}


def test_a_share_that_is_busy_is_tried_again_soon(stack: Stack, share_network: str) -> None:
    id_ = scheduled_share(stack, share_network, "weekly:1")
    change = sa.update(share_instances).where(share_instances.c.share_id == id_)
    stack.do(lambda conn: conn.execute(change.values(status="extending")))
    let_time_pass(stack, id_)
    pass_over(stack)
    assert utcnow() < row(stack, id_).next_at < utcnow() + timedelta(minutes=6)
    assert told(stack) == []
    stack.do(lambda conn: conn.execute(change.values(status="available")))
    take_one(stack, id_)


def test_a_soft_deleted_share_waits(stack: Stack, share_network: str) -> None:
    id_ = scheduled_share(stack, share_network, "hourly:1")
    stack.do(soft_deletion.soft_delete, MEMBER, id_, 3600)
    let_time_pass(stack, id_)
    pass_over(stack)
    assert (taken(stack, id_), told(stack)) == ([], [])
    assert share(stack, id_)["status"] == "available"


def test_a_schedule_goes_with_its_share_and_with_its_metadata(
    stack: Stack, share_network: str
) -> None:
    first, second = [scheduled_share(stack, share_network, "hourly:1") for _ in range(2)]
    kept = take_one(stack, first)
    stack.do(share_metadata.change, MEMBER, first, lambda _: {})
    rows = sa.select(table.c.share_id)
    assert stack.ask(lambda conn: list(conn.scalars(rows))) == [second]
    assert [view["id"] for view in taken(stack, first)] == [kept]
    stack.do(
        lambda conn: conn.execute(
            sa.delete(share_instances).where(share_instances.c.share_id == second)
        )
    )
    stack.do(lambda conn: conn.execute(sa.delete(shares).where(shares.c.id == second)))
    assert stack.ask(lambda conn: list(conn.scalars(rows))) == []
