"""snapshot_manage, snapshot_unmanage, and what becomes of a snapshot that cannot be taken over."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from abaca.db.tables import share_instances
from abaca.domain.rows import states
from abaca.domain.services import services
from abaca.domain.shares import shares
from abaca.domain.snapshots import snapshot_management, snapshots
from abaca.domain.snapshots.snapshot_management import SnapshotToManage
from abaca.errors import Invalid
from abaca.workflow import inspection
from tests.operations.scenarios import SPECS
from tests.operations.scene import (
    allow,
    available_share,
    failing,
    plan,
    settled_rules,
    slate,
    told,
    world,
)
from tests.stack import ADMIN, MEMBER, Stack, wait_for


@pytest.fixture
def share(stack: Stack) -> str:
    stack.share_type("snap", **SPECS)
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    made = available_share(stack, network, share_type="snap")
    allow(stack, made, "10.1.0.0/16")
    assert settled_rules(stack, made) == "active"
    return made


@pytest.fixture
def snapshot(stack: Stack, share: str) -> str:
    made = stack.snapshot(share)
    assert stack.settled_snapshot(made) == "available"
    return made


def location(stack: Stack, snapshot: str) -> str:
    return str(stack.ask(snapshots.get, MEMBER, snapshot)["provider_location"])


def unmanage(stack: Stack, snapshot: str) -> None:
    stack.do(snapshot_management.unmanage, ADMIN, snapshot, on_servers=True)


def manage(stack: Stack, share: str, provider_location: str) -> str:
    wanted = SnapshotToManage(share_id=share, provider_location=provider_location)
    return str(stack.do(snapshot_management.manage, MEMBER, wanted)["id"])


def let_go(stack: Stack, snapshot: str) -> str:
    """Its provider location."""
    known = location(stack, snapshot)
    unmanage(stack, snapshot)
    assert stack.settled_snapshot(snapshot) == "gone"
    return known


def on_back_end(stack: Stack) -> dict[str, set[str]]:
    """Snapshot instance id → who may read it."""
    return {
        id_: {rule["access_to"] for rule in stored["access_rules"]}
        for id_, stored in world(stack)["snapshots"].items()
    }


def test_it_stays_where_it_is_and_comes_back(stack: Stack, share: str, snapshot: str) -> None:
    before, (instance,) = slate(stack), on_back_end(stack)
    assert on_back_end(stack) == {instance: {"10.1.0.0/16"}}
    known = let_go(stack, snapshot)
    assert on_back_end(stack) == {instance: set()}
    back = manage(stack, share, known)
    assert stack.settled_snapshot(back) == "available"
    assert on_back_end(stack) == {instance: {"10.1.0.0/16"}}
    shown = stack.ask(snapshots.get, MEMBER, back)
    assert (shown["size"], shown["provider_location"]) == (1, known)
    assert slate(stack) == before
    stack.do(snapshots.delete, MEMBER, back)
    assert stack.settled_snapshot(back) == "gone"
    assert on_back_end(stack) == {}
    assert told(stack) == []


def test_what_is_not_there_is_in_error_and_forgotten(
    stack: Stack, share: str, snapshot: str
) -> None:
    before = slate(stack)
    wrong = manage(stack, share, "/fake/snapshots/nothing")
    assert stack.settled_snapshot(wrong) == "manage_error"
    assert any("no snapshot of that share" in text for text in told(stack))
    assert not any("/fake/" in text for text in told(stack)), "locations are not for projects"
    unmanage(stack, wrong)
    assert stack.settled_snapshot(wrong) == "gone"
    assert slate(stack) == before


@pytest.mark.parametrize("end", ["deleted", "forced", "unmanaged"])
def test_what_another_share_has_is_neither_taken_nor_touched(
    stack: Stack, share: str, snapshot: str, end: str
) -> None:
    """By an administrator's slip: what the location names is another share's, and stays there as
    it is whatever becomes of the snapshot that is in error."""
    known = let_go(stack, snapshot)
    network = stack.share_network(*stack.network("10.7.0.0/24"))
    other = available_share(stack, network, share_type="snap")
    there = on_back_end(stack)
    wrong = manage(stack, other, known)
    assert stack.settled_snapshot(wrong) == "manage_error"
    if end == "unmanaged":
        unmanage(stack, wrong)
    else:
        stack.do(snapshots.delete if end == "deleted" else snapshots.force_delete, ADMIN, wrong)
    assert stack.settled_snapshot(wrong) == "gone"
    assert on_back_end(stack) == there


@pytest.mark.parametrize("status", ["error_deleting", "unmanage_starting", "unmanage_error"])
def test_ensuring_touches_nothing_that_another_share_has(
    stack: Stack, share: str, snapshot: str, status: str
) -> None:
    """A worker that dies, or a call that hangs, leaves what was never taken over in one of these
    statuses. Its share's rules must not come to hold for what its location names."""
    known = let_go(stack, snapshot)
    network = stack.share_network(*stack.network("10.7.0.0/24"))
    other = available_share(stack, network, share_type="snap")
    allow(stack, other, "10.7.0.0/16")
    assert settled_rules(stack, other) == "active"
    there = on_back_end(stack)
    wrong = manage(stack, other, known)
    assert stack.settled_snapshot(wrong) == "manage_error"
    instance = stack.ask(snapshots.get, MEMBER, wrong)["instance_id"]
    stack.do(states.force, states.SNAPSHOT, instance, status)
    stack.do(services.ensure_shares, "host1@alpha")
    stack.wait(lambda conn: not services.find(conn, {"host": "host1@alpha"})[0]["ensuring"])
    assert on_back_end(stack) == there


def test_one_that_a_share_is_being_made_from_is_not_let_go(
    stack: Stack, share: str, snapshot: str
) -> None:
    copy = available_share(
        stack,
        str(stack.ask(shares.get, MEMBER, share)["share_network_id"]),
        share_type="snap",
        snapshot_id=snapshot,
    )
    busy = sa.update(share_instances).where(share_instances.c.share_id == copy)
    stack.do(lambda conn: conn.execute(busy.values(status="creating")))
    with pytest.raises(Invalid, match=f"{copy} is still being created from it"):
        unmanage(stack, snapshot)
    stack.do(lambda conn: conn.execute(busy.values(status="available")))
    unmanage(stack, snapshot)
    assert stack.settled_snapshot(snapshot) == "gone"


@pytest.mark.parametrize("method", ["manage_snapshot", "unmanage_snapshot"])
def test_an_administrator_resumes_it(stack: Stack, share: str, snapshot: str, method: str) -> None:
    known = let_go(stack, snapshot) if method == "manage_snapshot" else ""
    plan(stack, failing(method, "bug"))
    if known:
        snapshot = manage(stack, share, known)
    else:
        unmanage(stack, snapshot)
    assert stack.settled_snapshot(snapshot) == ("manage_error" if known else "unmanage_error")
    plan(stack)
    wait_for(lambda: [each.state for each in inspection.find(stack.engine)] == ["parked"])
    inspection.resume(stack.engine, inspection.find(stack.engine)[0].id)
    assert stack.settled_snapshot(snapshot) == ("available" if known else "gone")
