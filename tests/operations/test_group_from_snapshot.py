"""Share groups made from snapshots of groups: all shares or none, with the data of the members, and
beside what happens to them meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_instances, share_snapshots, shares
from abaca.domain.capacity import quota_usages
from abaca.domain.capacity.quotas import Scope
from abaca.domain.share_groups import group_from_snapshot, share_group_snapshots, share_groups
from abaca.domain.share_groups.share_group_creation import GroupRequest
from abaca.domain.shares import shares as share_nouns
from abaca.errors import Conflict
from tests.operations.conftest import Install
from tests.operations.scenarios_groups import clone_group, group_type_for
from tests.operations.scene import failing, plan, told, world
from tests.operations.test_resume import resume
from tests.operations.test_share_group_snapshots import group_of_two, take
from tests.operations.test_without_share_servers import SUPPORTS, plain
from tests.stack import ADMIN, MEMBER, Stack

Source = tuple[Stack, str, str]


@pytest.fixture(params=["snap", "plain"])
def source(request: pytest.FixtureRequest, install: Install) -> Iterator[Source]:
    """A back end with a snapshot of a group of two shares, of that type; `snap` is on a share
    server."""
    share_type = str(request.param)
    stack = plain(install) if share_type == "plain" else install({"alpha": {}})
    with stack.working():
        network = None
        if share_type == "snap":
            stack.share_type("snap", **SUPPORTS)
            network = stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))
        group, _ = group_of_two(stack, network, share_type)
        snapshot = take(stack, group)
        assert stack.settled_group_snapshot(snapshot) == "available"
        yield stack, snapshot, share_type


def shares_of(stack: Stack, group: str) -> list[tuple[str, str, str]]:
    """Id, instance's id and status of the shares in a group."""

    def found(conn: Connection) -> list[tuple[str, str, str]]:
        columns = shares.c.id, share_instances.c.id, share_instances.c.status
        in_group = sa.select(*columns).join(share_instances).where(shares.c.share_group_id == group)
        return [tuple(row) for row in conn.execute(in_group.order_by(share_instances.c.id))]

    return stack.ask(found)


def counted(stack: Stack) -> tuple[int, int]:
    """Groups and shares."""
    used = stack.ask(quota_usages.in_use, Scope(project_id=MEMBER.project_id))
    return used["share_groups"], used["shares"]


def delete_all(stack: Stack, group: str) -> None:
    for key, _, _ in shares_of(stack, group):
        stack.do(share_nouns.delete, MEMBER, key, group)
        assert stack.settled_share(key) == "gone"
    stack.do(share_groups.delete, MEMBER, group)
    assert counted(stack) == (1, 2)


def test_all_shares_are_made(source: Source) -> None:
    stack, snapshot, share_type = source
    made = clone_group(stack, snapshot, share_type)
    assert stack.settled_group(made) == "available", told(stack)
    assert [status for _, _, status in shares_of(stack, made)] == ["available"] * 2
    there = world(stack)["shares"]
    assert all(there[instance]["export_locations"] for _, instance, _ in shares_of(stack, made))
    assert counted(stack) == (2, 4)
    delete_all(stack, made)


def test_if_one_share_cannot_be_made_none_is(source: Source) -> None:
    stack, snapshot, share_type = source
    before = set(world(stack)["shares"])
    plan(stack, failing("create_share_from_snapshot", "hang"))
    made = clone_group(stack, snapshot, share_type)
    last = shares_of(stack, made)[-1][1]
    plan(stack, failing("create_share_from_snapshot", "NoSpace", match=last))
    assert stack.settled_group(made) == "error"
    assert set(world(stack)["shares"]) == before
    assert [status for _, _, status in shares_of(stack, made)] == ["error"] * 2
    assert told(stack)
    plan(stack)
    delete_all(stack, made)


def test_parked_work_is_resumed(source: Source) -> None:
    stack, snapshot, share_type = source
    plan(stack, failing("create_share_from_snapshot", "bug"))
    made = clone_group(stack, snapshot, share_type)
    assert stack.settled_group(made) == "error"
    resume(stack)
    assert stack.settled_group(made) == "available"
    assert [status for _, _, status in shares_of(stack, made)] == ["available"] * 2
    delete_all(stack, made)


def test_it_is_not_resumed_without_its_source(source: Source) -> None:
    stack, snapshot, share_type = source
    plan(stack, failing("create_share_from_snapshot", "bug"))
    made = clone_group(stack, snapshot, share_type)
    assert stack.settled_group(made) == "error"
    stack.do(share_group_snapshots.delete, MEMBER, snapshot)
    assert stack.settled_group_snapshot(snapshot) == "gone"
    with pytest.raises(Conflict, match="is gone"):
        resume(stack)
    delete_all(stack, made)


def test_what_was_deleted_by_force_meanwhile_stays_gone(source: Source) -> None:
    stack, snapshot, share_type = source
    plan(stack, failing("create_share_from_snapshot", "bug"))
    made = clone_group(stack, snapshot, share_type)
    assert stack.settled_group(made) == "error"
    (key, _, _), (other, _, _) = shares_of(stack, made)
    stack.do(share_nouns.force_delete, ADMIN, key)
    assert stack.settled_share(key) == "gone"
    resume(stack)
    assert stack.settled_group(made) == "available"
    assert [(left, status) for left, _, status in shares_of(stack, made)] == [(other, "available")]
    delete_all(stack, made)


def test_without_its_source_nothing_is_left_creating(source: Source) -> None:
    """An administrator deletes the source by force before the work has begun: the shares can be
    deleted by their project."""
    stack, snapshot, share_type = source
    made = stack.do(clone_without_source, snapshot, share_type)
    assert stack.settled_group(made) == "error"
    assert [status for _, _, status in shares_of(stack, made)] == ["error"] * 2
    assert told(stack)
    delete_all(stack, made)


def clone_without_source(conn: Connection, snapshot: str, share_type: str) -> str:
    """As if the source went between the request and its work."""
    request = GroupRequest(
        share_group_type_id=group_type_for(conn, share_type),
        share_types=[],
        source_share_group_snapshot_id=snapshot,
    )
    made = str(group_from_snapshot.create(conn, MEMBER, request)["id"])
    of_it = share_snapshots.c.share_group_snapshot_id == snapshot
    conn.execute(sa.delete(share_snapshots).where(of_it))
    share_group_snapshots.removed(conn, snapshot)
    return made
