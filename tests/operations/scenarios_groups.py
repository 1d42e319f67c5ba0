"""Scenes of share groups. See `scenarios`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.engine import Connection

from abaca.domain.share_group_types import share_group_types
from abaca.domain.share_groups import (
    group_from_snapshot,
    share_group_creation,
    share_group_snapshots,
    share_groups,
)
from abaca.domain.share_groups.share_group_creation import GroupRequest
from abaca.domain.share_types import share_types
from abaca.values import Page
from tests.operations.scene import available_share
from tests.stack import ADMIN, MEMBER, Stack

if TYPE_CHECKING:
    from tests.operations.scenarios import Ask, Ground

PAGE = Page()


def share_group_create(ground: Ground) -> Ask:
    """With a new server on two subnets."""
    network = ground.network()
    return lambda: create_group(ground.stack, network)


def share_group_create_of_another_server(ground: Ground) -> Ask:
    """On the server of a share that is there."""
    network, _ = ground.share()
    return lambda: create_group(ground.stack, network)


def share_create_of_another_group(ground: Ground) -> Ask:
    """In a share group that is there."""
    network = ground.network()
    group = create_group(ground.stack, network)
    assert ground.stack.settled_group(group) == "available"
    return lambda: ground.stack.share(network, share_type="snap", share_group_id=group)


def share_group_clone(ground: Ground) -> Ask:
    """From a snapshot of a group with two shares."""
    stack, group = ground.stack, _group_with_shares(ground)
    made = stack.do(share_group_snapshots.create, MEMBER, group)["id"]
    assert stack.settled_group_snapshot(made) == "available"
    return lambda: clone_group(stack, made)


def share_group_snapshot_create(ground: Ground) -> Ask:
    """Of a group with two shares."""
    group = _group_with_shares(ground)
    return lambda: ground.stack.do(share_group_snapshots.create, MEMBER, group)


def share_group_snapshot_delete(ground: Ground) -> Ask:
    stack, group = ground.stack, _group_with_shares(ground)
    made = stack.do(share_group_snapshots.create, MEMBER, group)["id"]
    assert stack.settled_group_snapshot(made) == "available"
    return lambda: stack.do(share_group_snapshots.delete, MEMBER, made)


def _group_with_shares(ground: Ground) -> str:
    network = ground.network()
    group = create_group(ground.stack, network)
    assert ground.stack.settled_group(group) == "available"
    for _ in range(2):
        available_share(ground.stack, network, share_type="snap", share_group_id=group)
    return group


def create_group(stack: Stack, network: str | None, share_type: str = "snap") -> str:
    """A group of shares of that type; its id."""

    def create(conn: Connection) -> str:
        request = GroupRequest(
            share_group_type_id=group_type_for(conn, share_type),
            share_types=[share_type],
            share_network_id=network,
        )
        return str(share_group_creation.create(conn, MEMBER, request)["id"])

    return stack.do(create)


def clone_group(stack: Stack, group_snapshot: str, share_type: str = "snap") -> str:
    """A group of that type from the snapshot of another; its id."""

    def create(conn: Connection) -> str:
        request = GroupRequest(
            share_group_type_id=group_type_for(conn, share_type),
            share_types=[],
            source_share_group_snapshot_id=group_snapshot,
        )
        return str(group_from_snapshot.create(conn, MEMBER, request)["id"])

    return stack.do(create)


def group_type_for(conn: Connection, share_type: str) -> str:
    """The id of a type of groups that hold shares of that type, made if there is none yet."""
    for known in share_group_types.LISTING.find(conn, ADMIN, {}, PAGE):
        if known["name"] == share_type:
            return str(known["id"])
    made = share_group_types.create(
        conn,
        name=share_type,
        is_public=True,
        share_type_ids=share_types.ids_of(conn, ADMIN, [share_type]),
        group_specs={},
    )
    return str(made["id"])


def wipe_group_snapshots(stack: Stack) -> None:
    """Delete all snapshots of groups."""
    for found in stack.ask(share_group_snapshots.LISTING.find, ADMIN, {}, PAGE, True):
        stack.do(share_group_snapshots.force_delete, ADMIN, found["id"])
        assert stack.settled_group_snapshot(found["id"]) == "gone"


def wipe_groups(stack: Stack) -> None:
    """Delete all groups, which have no shares any more."""
    for group in stack.ask(share_groups.LISTING.find, ADMIN, {}, PAGE, True):
        stack.do(share_groups.force_delete, ADMIN, group["id"])


SCENES = (
    share_group_create,
    share_group_create_of_another_server,
    share_create_of_another_group,
    share_group_clone,
    share_group_snapshot_create,
    share_group_snapshot_delete,
)
