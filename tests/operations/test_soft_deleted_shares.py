"""Soft-deleted shares go by themselves when their time is over, and no sooner."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from abaca.db.session import begin, utcnow
from abaca.db.tables import share_snapshots
from abaca.db.tables import shares as table
from abaca.domain.shares import shares, soft_deletion
from abaca.errors import Missing
from abaca.reconcile import soft_deleted_shares, unused_share_servers
from tests.operations.scene import (
    addresses,
    all_servers,
    available_share,
    failing,
    instance_of,
    plan,
    share,
    told,
    world,
)
from tests.stack import MEMBER, Stack

HOSTS = {"host1@alpha"}
HOUR = 3600


def pass_over(stack: Stack, hosts: set[str] = HOSTS) -> None:
    soft_deleted_shares.delete_due(stack.engine, hosts)


def let_time_pass(stack: Stack, share_id: str) -> None:
    with begin(stack.engine) as conn:
        conn.execute(
            sa.update(table)
            .where(table.c.id == share_id)
            .values(scheduled_to_be_deleted_at=utcnow() - timedelta(seconds=1))
        )


def test_only_those_that_are_due_go(stack: Stack) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    kept, restored, waiting, due = [available_share(stack, network) for _ in range(4)]
    for share_id in (restored, waiting, due):
        stack.do(soft_deletion.soft_delete, MEMBER, share_id, HOUR)
    for share_id in (restored, due):
        let_time_pass(stack, share_id)
    stack.do(soft_deletion.restore, MEMBER, restored)
    pass_over(stack, {"host1@other"})
    assert share(stack, due)["status"] == "available"
    held = instance_of(stack, due).id
    pass_over(stack)
    assert stack.settled_share(due) == "gone"
    assert held not in world(stack)["shares"]
    assert [share(stack, one)["status"] for one in (kept, restored, waiting)] == ["available"] * 3
    pass_over(stack)
    assert [share(stack, one)["status"] for one in (kept, restored, waiting)] == ["available"] * 3
    assert told(stack) == []


def test_the_last_share_of_a_server_keeps_it_until_it_goes(stack: Stack) -> None:
    only = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    stack.do(soft_deletion.soft_delete, MEMBER, only, HOUR)
    unused_share_servers.delete_unused(stack.engine, HOSTS, 0)
    assert [row.status for row in all_servers(stack)] == ["active"]
    let_time_pass(stack, only)
    pass_over(stack)
    assert stack.settled_share(only) == "gone"
    unused_share_servers.delete_unused(stack.engine, HOSTS, 0)
    stack.wait(lambda _: all_servers(stack) == [])
    assert addresses(stack) == 0


def test_one_whose_deletion_fails_is_left_to_a_person(stack: Stack) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    stuck = available_share(stack, network)
    plan(stack, failing("delete_share", "Refused"))
    stack.do(soft_deletion.soft_delete, MEMBER, stuck, 0)
    pass_over(stack)
    assert stack.settled_share(stuck) == "error_deleting"
    pass_over(stack)
    assert share(stack, stuck)["status"] == "error_deleting"
    assert len(told(stack)) == 1
    plan(stack)
    stack.do(shares.delete, MEMBER, stuck)
    assert stack.settled_share(stuck) == "gone"


def test_one_that_is_against_its_deletion_keeps_no_other(stack: Stack) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    held, due = available_share(stack, network), available_share(stack, network)
    for share_id in (held, due):
        stack.do(soft_deletion.soft_delete, MEMBER, share_id, 0)
    with begin(stack.engine) as conn:  # past the code, which lets nobody take one of it
        snapshot = {
            "id": "s",
            "project_id": MEMBER.project_id,
            "share_id": held,
            "size": 1,
            "share_proto": "NFS",
            "metadata": {},
        }
        conn.execute(sa.insert(share_snapshots).values(**snapshot, created_at=utcnow()))
    pass_over(stack)
    assert stack.settled_share(due) == "gone"
    assert stack.settled_share(held) == "available"


def test_one_that_went_or_came_back_meanwhile(stack: Stack) -> None:
    """Between the look and the deletion."""
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    gone, back = available_share(stack, network), available_share(stack, network)
    stack.do(soft_deletion.delete_due, back)
    assert stack.settled_share(back) == "available"
    stack.do(shares.delete, MEMBER, gone)
    assert stack.settled_share(gone) == "gone"
    with pytest.raises(Missing):
        stack.do(soft_deletion.delete_due, gone)


def test_one_that_never_came_to_stand_anywhere(stack: Stack) -> None:
    nowhere = stack.share(stack.share_network(*stack.network("10.1.0.0/24")), size=100_000)
    assert stack.settled_share(nowhere) == "error"
    stack.do(soft_deletion.soft_delete, MEMBER, nowhere, 0)
    pass_over(stack)
    assert stack.settled_share(nowhere) == "gone"
