"""Snapshots of share groups on the back end: all members or none, and what is left of a deletion
that fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_snapshot_instances
from abaca.domain.capacity import quota_usages
from abaca.domain.capacity.quotas import Scope
from abaca.domain.share_groups import share_group_snapshots, share_groups
from abaca.domain.shares import shares
from abaca.domain.snapshots import snapshots
from abaca.drivers.fake.faults import Fault
from tests.operations.conftest import Install
from tests.operations.scenarios_groups import create_group
from tests.operations.scene import (
    allow,
    available_share,
    failing,
    instance_of,
    plan,
    settled_rules,
    told,
    world,
)
from tests.operations.test_resume import resume
from tests.operations.test_without_share_servers import plain
from tests.stack import MEMBER, Stack

pytestmark = pytest.mark.sampled_file(4)


def group_of_two(stack: Stack, network: str | None, share_type: str) -> tuple[str, list[str]]:
    """A share group and its shares."""
    group = create_group(stack, network, share_type)
    assert stack.settled_group(group) == "available", told(stack)
    return group, [
        available_share(stack, network, share_type=share_type, share_group_id=group)
        for _ in range(2)
    ]


@pytest.fixture(params=["true", "false"], ids=["of one instant", "one after the other"])
def stack(request: pytest.FixtureRequest, install: Install) -> Iterator[Stack]:
    """One back end that takes the members of a snapshot together, or does not."""
    stack = install({"alpha": {"consistent_snapshot_support": request.param}})
    with stack.working():
        yield stack


@pytest.fixture
def group(stack: Stack) -> tuple[str, list[str]]:
    """On a share server."""
    stack.share_type("snap", snapshot_support="True", mount_snapshot_support="True")
    network = stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))
    return group_of_two(stack, network, "snap")


def failing_to_take(error: str, **more: str) -> list[Fault]:
    """However they are taken."""
    return [failing(call, error, **more) for call in ("create_group_snapshot", "create_snapshot")]


def take(stack: Stack, group: str) -> str:
    return str(stack.do(share_group_snapshots.create, MEMBER, group)["id"])


def statuses(stack: Stack) -> list[str]:
    """Of all snapshots on the back end, as they are stored."""

    def found(conn: Connection) -> list[str]:
        return list(conn.scalars(sa.select(share_snapshot_instances.c.status)))

    return stack.ask(found)


def counted(stack: Stack) -> tuple[int, int]:
    """Group snapshots and snapshots."""
    used = stack.ask(quota_usages.in_use, Scope(project_id=MEMBER.project_id))
    return used["share_group_snapshots"], used["snapshots"]


def delete_all(stack: Stack, group: str, members: list[str], group_snapshot: str) -> None:
    stack.do(share_group_snapshots.delete, MEMBER, group_snapshot)
    assert stack.settled_group_snapshot(group_snapshot) == "gone", told(stack)
    assert world(stack)["snapshots"] == {}
    assert counted(stack) == (0, 0)
    for member in members:
        stack.do(shares.delete, MEMBER, member, group)
        assert stack.settled_share(member) == "gone"
    stack.do(share_groups.delete, MEMBER, group)


def test_all_members_are_taken_and_deleted(stack: Stack, group: tuple[str, list[str]]) -> None:
    key, members = group
    made = take(stack, key)
    assert stack.settled_group_snapshot(made) == "available"
    taken = world(stack)["snapshots"]
    assert len(taken) == 2
    assert statuses(stack) == ["available"] * 2
    delete_all(stack, key, members, made)


def test_a_group_without_shares_and_one_without_a_share_server(install: Install) -> None:
    stack = plain(install)
    with stack.working():
        empty = create_group(stack, None, "plain")
        assert stack.settled_group(empty) == "available"
        made = take(stack, empty)
        assert stack.settled_group_snapshot(made) == "available"
        delete_all(stack, empty, [], made)


def test_if_one_member_cannot_be_taken_none_is(stack: Stack, group: tuple[str, list[str]]) -> None:
    key, members = group
    plan(stack, *failing_to_take("NoSpace", match=instance_of(stack, max(members)).id))
    made = take(stack, key)
    assert stack.settled_group_snapshot(made) == "error"
    assert world(stack)["snapshots"] == {}
    assert statuses(stack) == ["error"] * 2
    assert counted(stack) == (1, 2)
    assert told(stack)
    plan(stack)
    delete_all(stack, key, members, made)


def test_what_a_deletion_leaves_is_deleted_again(
    stack: Stack, group: tuple[str, list[str]]
) -> None:
    """The members that could be deleted are gone, and count no more."""
    key, members = group
    made = take(stack, key)
    assert stack.settled_group_snapshot(made) == "available"
    plan(stack, failing("delete_snapshot", "Refused", match=instance_of(stack, min(members)).id))
    stack.do(share_group_snapshots.delete, MEMBER, made)
    assert stack.settled_group_snapshot(made) == "error"
    assert statuses(stack) == ["error_deleting"]
    assert counted(stack) == (1, 1)
    assert told(stack)
    plan(stack)
    delete_all(stack, key, members, made)


@pytest.mark.parametrize("call", ["create_snapshot", "delete_snapshot"])
def test_parked_work_is_resumed(stack: Stack, group: tuple[str, list[str]], call: str) -> None:
    key, members = group
    if call == "create_snapshot":
        plan(stack, *failing_to_take("bug"))
        made = take(stack, key)
        assert stack.settled_group_snapshot(made) == "error"
        resume(stack)
        assert stack.settled_group_snapshot(made) == "available"
        delete_all(stack, key, members, made)
        return
    made = take(stack, key)
    assert stack.settled_group_snapshot(made) == "available"
    plan(stack, failing(call, "bug"))
    stack.do(share_group_snapshots.delete, MEMBER, made)
    assert stack.settled_group_snapshot(made) == "error"
    resume(stack)
    assert stack.settled_group_snapshot(made) == "gone"


def test_members_are_not_mounted(stack: Stack, group: tuple[str, list[str]]) -> None:
    """Although snapshots of these shares are, with the rules of their share."""
    key, members = group
    made = take(stack, key)
    assert stack.settled_group_snapshot(made) == "available"
    snapshot = stack.snapshot(members[0])
    assert stack.settled_snapshot(snapshot) == "available"
    instance = stack.ask(snapshots.get, MEMBER, snapshot)["instance_id"]
    held = world(stack)["snapshots"]
    assert len(held) == 3
    assert [key for key, one in held.items() if one["export_locations"]] == [instance]
    allow(stack, members[0], "10.0.0.0/8")
    assert settled_rules(stack, members[0]) == "active"
    held = world(stack)["snapshots"]
    assert [key for key, one in held.items() if one["export_locations"]] == [instance]
