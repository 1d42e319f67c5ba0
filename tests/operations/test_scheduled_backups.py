"""Backups are made by their schedule, and the surplus of them is deleted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db.session import utcnow
from abaca.db.tables import backup_schedules as table
from abaca.db.tables import quota_usages, share_backups
from abaca.domain.backups import share_backups as backups
from abaca.domain.shares import share_metadata, shares
from abaca.reconcile.schedules import take_due
from abaca.values import Page
from tests.operations.scene import available_share, failing, plan, share, told
from tests.stack import MEMBER, Stack

HOSTS = {"host1@alpha"}
SOON = timedelta(minutes=6)  # a busy share is tried again after five
NO_LIMITS: dict[str, int] = {}


@pytest.fixture
def share_network(stack: Stack) -> str:
    stack.share_type("snap", snapshot_support="True")
    return stack.share_network(*stack.network("10.1.0.0/24"))


def scheduled_share(stack: Stack, share_network_id: str, schedule: str) -> str:
    metadata = {"backup_schedule": schedule}
    return available_share(stack, share_network_id, share_type="snap", metadata=metadata)


def pass_over(stack: Stack, hosts: set[str] = HOSTS, limits: dict[str, int] = NO_LIMITS) -> None:
    take_due(stack.engine, hosts, limits)


def let_time_pass(stack: Stack, share_id: str) -> None:
    due = sa.update(table).where(table.c.share_id == share_id)
    earlier = utcnow() - timedelta(seconds=1)
    stack.do(lambda conn: conn.execute(due.values(next_at=earlier)))


def made(stack: Stack, share_id: str) -> list[dict[str, Any]]:
    """The backups of a share, once nothing goes on with them, the newest first."""
    for view in stack.ask(backups.LISTING.find, MEMBER, {"share_id": share_id}, Page()):
        stack.settled_backup(view["id"])
    return list(stack.ask(backups.LISTING.find, MEMBER, {"share_id": share_id}, Page()))


def make_one(stack: Stack, share_id: str) -> str:
    """The id of the backup that the schedule has made now."""
    before = {view["id"] for view in made(stack, share_id)}
    let_time_pass(stack, share_id)
    pass_over(stack)
    (new,) = [view for view in made(stack, share_id) if view["id"] not in before]
    pass_over(stack)  # deletes the surplus
    made(stack, share_id)
    return str(new["id"])


def row(stack: Stack, share_id: str) -> sa.Row[Any]:
    query = sa.select(table).where(table.c.share_id == share_id)
    found: sa.Row[Any] = stack.ask(lambda conn: conn.execute(query).one())
    return found


def frequencies(stack: Stack, share_id: str) -> dict[str, str]:
    """By which frequency each backup of a share was made, by its id."""
    query = sa.select(share_backups.c.id, share_backups.c.frequency)
    of_share = query.where(share_backups.c.share_id == share_id)
    return stack.ask(lambda conn: {row.id: row.frequency for row in conn.execute(of_share)})


def used(stack: Stack) -> tuple[int, int]:
    """What the project's quotas count: backups, their GiB."""
    whole = (quota_usages.c.project_id == MEMBER.project_id) & (quota_usages.c.user_id == "")
    query = sa.select(quota_usages).where(whole, quota_usages.c.share_type_id == "")
    found = stack.ask(lambda conn: conn.execute(query).one())
    return found.backups, found.backup_gigabytes


def test_one_is_made_when_its_time_has_come_and_not_before(
    stack: Stack, share_network: str
) -> None:
    due, other = [scheduled_share(stack, share_network, "hourly:2") for _ in range(2)]
    pass_over(stack)
    assert made(stack, due) == []
    let_time_pass(stack, due)
    pass_over(stack, {"host1@other"})
    assert made(stack, due) == []
    pass_over(stack)
    pass_over(stack)
    views = made(stack, due)
    assert len(views) == 1
    (view,) = views
    assert (view["status"], view["project_id"]) == ("available", MEMBER.project_id)
    assert view["name"].startswith("hourly-20")
    assert made(stack, other) == []
    assert utcnow() < row(stack, due).next_at <= utcnow() + timedelta(hours=1)


def test_the_oldest_go_and_those_of_others_stay(stack: Stack, share_network: str) -> None:
    """Quotas have what is left; one that has the type of the first is of the same kind."""
    id_ = scheduled_share(stack, share_network, "hourly:2")
    by_hand = stack.backup(id_, backup_type="nightly")
    assert stack.settled_backup(by_hand) == "available"
    several = [make_one(stack, id_) for _ in range(4)]
    left = made(stack, id_)
    assert sorted(view["id"] for view in left) == sorted([by_hand, *several[2:]])
    assert {view["backup_type"] for view in left} == {"nightly"}
    assert used(stack) == (3, 3)


def test_two_frequencies_have_a_retention_each(stack: Stack, share_network: str) -> None:
    """What is due at once is made one after the other: a share is backed up once at a time."""
    id_ = scheduled_share(stack, share_network, "hourly:1, daily:2")
    for _ in range(3):
        before = frequencies(stack, id_).keys()
        let_time_pass(stack, id_)
        pass_over(stack)
        made(stack, id_)
        (first,) = [name for new, name in frequencies(stack, id_).items() if new not in before]
        of_other = (table.c.share_id == id_) & (table.c.frequency != first)
        again = sa.select(table.c.next_at).where(of_other)
        assert stack.ask(lambda conn, query=again: conn.scalar(query)) < utcnow() + SOON
        due = sa.update(table).where(of_other).values(next_at=utcnow())
        stack.do(lambda conn, due=due: conn.execute(due))
        pass_over(stack)
        made(stack, id_)
    pass_over(stack)
    made(stack, id_)
    assert sorted(frequencies(stack, id_).values()) == ["daily", "daily", "hourly"]


def test_a_full_quota_is_told_once_and_the_others_go_on(stack: Stack, share_network: str) -> None:
    id_ = scheduled_share(stack, share_network, "daily:2")
    for _ in range(2):
        let_time_pass(stack, id_)
        pass_over(stack, limits={"backups": 0})
    assert made(stack, id_) == []
    (message,) = told(stack)
    assert message.startswith("The daily backup of the share was not made: ")
    assert row(stack, id_).next_at > utcnow()
    make_one(stack, id_)
    assert len(made(stack, id_)) == 1


def test_a_failed_one_takes_no_good_one_away(stack: Stack, share_network: str) -> None:
    id_ = scheduled_share(stack, share_network, "hourly:1")
    good = make_one(stack, id_)
    plan(stack, failing("begin_backup", "Refused"))
    failed = make_one(stack, id_)
    assert {view["id"]: view["status"] for view in made(stack, id_)} == {
        good: "available",
        failed: "error",
    }
    plan(stack)
    newest = make_one(stack, id_)
    assert [view["id"] for view in made(stack, id_)] == [newest]
    assert used(stack) == (1, 1)
    assert share(stack, id_)["status"] == "available"


def test_a_share_with_snapshots_is_told_so(stack: Stack, share_network: str) -> None:
    id_ = scheduled_share(stack, share_network, "hourly:1")
    snapshot = stack.snapshot(id_)
    assert stack.settled_snapshot(snapshot) == "available"
    let_time_pass(stack, id_)
    pass_over(stack)
    assert made(stack, id_) == []
    (message,) = told(stack)
    assert "while it has snapshots" in message


def test_a_schedule_goes_with_its_metadata_and_its_share(stack: Stack, share_network: str) -> None:
    id_ = scheduled_share(stack, share_network, "hourly:1")
    kept = make_one(stack, id_)
    stack.do(share_metadata.change, MEMBER, id_, lambda _: {})
    assert stack.ask(lambda conn: conn.execute(sa.select(table)).all()) == []
    pass_over(stack)
    assert [view["id"] for view in made(stack, id_)] == [kept]
    stack.do(share_metadata.change, MEMBER, id_, lambda _: {"backup_schedule": "daily:1"})
    stack.do(backups.delete, MEMBER, kept)
    assert stack.settled_backup(kept) == "gone"
    stack.do(shares.delete, MEMBER, id_)
    assert stack.settled_share(id_) == "gone"
    assert stack.ask(lambda conn: conn.execute(sa.select(table)).all()) == []
