"""What a crowd asks for about share groups; see `crowd`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from falcon.testing import Result

from abaca.db.tables import (
    share_group_snapshots,
    share_group_types,
    share_groups,
    share_networks,
    shares,
)

if TYPE_CHECKING:
    from tests.operations.crowd import Place


def create_group(place: Place, client: int, network: int, zone: str | None) -> Result:
    wanted = {
        "share_group_type_id": place.one_of(share_group_types.c.id, 0),
        "share_types": ["snap"],
        "share_network_id": place.one_of(
            share_networks.c.id, network, ~share_networks.c.is_deleting
        ),
        "availability_zone": zone,
    }
    return place.send(client, "POST", "/share-groups", {"share_group": wanted})


def clone_group(place: Place, client: int, group_snapshot: int) -> Result:
    """A group from the snapshot of another one, of the same type."""
    key = place.one_of(share_group_snapshots.c.id, group_snapshot)
    of = place.one_of(share_group_snapshots.c.share_group_id, 0, share_group_snapshots.c.id == key)
    wanted = {
        "share_group_type_id": place.one_of(
            share_groups.c.share_group_type_id, 0, share_groups.c.id == of
        ),
        "source_share_group_snapshot_id": key,
    }
    return place.send(client, "POST", "/share-groups", {"share_group": wanted})


def create_member(place: Place, client: int, group: int, size: int) -> Result:
    """A share in a group, and in its share network."""
    key = place.one_of(share_groups.c.id, group)
    wanted = {
        "share_proto": "NFS",
        "size": size,
        "share_type": "snap",
        "share_group_id": key,
        "share_network_id": place.one_of(
            share_groups.c.share_network_id, 0, share_groups.c.id == key
        ),
    }
    return place.send(client, "POST", "/shares", {"share": wanted})


def delete_member(place: Place, client: int, share: int) -> Result:
    key = place.one_of(shares.c.id, share, shares.c.share_group_id.is_not(None))
    group = place.one_of(shares.c.share_group_id, 0, shares.c.id == key)
    return place.send(client, "DELETE", f"/shares/{key}?share_group_id={group}")


def delete_group(place: Place, client: int, group: int) -> Result:
    """One that has no shares."""
    empty = ~sa.exists().where(shares.c.share_group_id == share_groups.c.id)
    key = place.one_of(share_groups.c.id, group, empty)
    return place.send(client, "DELETE", f"/share-groups/{key}")


def create_group_snapshot(place: Place, client: int, group: int) -> Result:
    wanted = {"share_group_id": place.one_of(share_groups.c.id, group)}
    body = {"share_group_snapshot": wanted}
    return place.send(client, "POST", "/share-group-snapshots", body)


def delete_group_snapshot(place: Place, client: int, group_snapshot: int) -> Result:
    key = place.one_of(share_group_snapshots.c.id, group_snapshot)
    return place.send(client, "DELETE", f"/share-group-snapshots/{key}")
