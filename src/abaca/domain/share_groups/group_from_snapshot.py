"""Making a share group from a snapshot of another one: a share from each of its members, on the
pool and share server of the group that the snapshot is of. All are made, or none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import (
    share_group_share_type_mappings,
    share_group_snapshots,
    share_groups,
    share_instances,
    share_networks,
    share_snapshot_instances,
    share_snapshots,
    shares,
)
from abaca.domain.capacity import placement, quota_usages
from abaca.domain.rows import states
from abaca.domain.rows.share_network_lock import require_active
from abaca.domain.share_group_types import share_group_types as group_types
from abaca.domain.share_groups import share_group_creation
from abaca.domain.share_groups import share_group_snapshots as group_snapshots
from abaca.domain.share_groups import share_groups as groups
from abaca.domain.share_groups.share_group_creation import GroupRequest, Place
from abaca.domain.share_types import share_types as types
from abaca.domain.shares import (
    export_choices,
    schedules,
    share_ground,
    share_membership,
    share_supports,
)
from abaca.domain.shares import (
    share_instances as instances,
)
from abaca.errors import Conflict, Invalid, Refused, named_in_request
from abaca.values import Caller, ExportChoice, ExportLocation, PlacementRequest, Value


class NewMember(Value):
    """What work needs of a share that is to be made: the ids of its instance, of the snapshot
    instance that it is made from, and of the share instance that this is of."""

    instance_id: str
    snapshot_instance_id: str
    source_instance_id: str


def create(
    conn: Connection,
    caller: Caller,
    request: GroupRequest,
    quota_defaults: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Store the group and its shares in `creating`, with the work enqueued; or the group alone, in
    `error` with a user message, if its pool has no room. Returns the group's view.

    `request`: has the source, and what is not inherited from it. Raises Invalid for a source that
    is unknown or of which no group can be made now, Conflict for one that is not available,
    Missing, OverQuota.
    """
    source = _hold_source(conn, caller, request.source_share_group_snapshot_id or "")
    specs = share_group_creation.specs_of_types(conn, caller, _types(conn, source.id))
    group_type = group_types.hold(conn, caller, request.share_group_type_id)
    share_group_creation.require_types_of(group_type, specs)
    members = _members(conn, request.source_share_group_snapshot_id or "")
    quota_usages.claim(
        conn, caller.project_id, caller.user_id, defaults=quota_defaults, share_groups=1
    )
    size = sum(member.size for member in members)
    zone = share_ground.zone_names(conn).get(source.availability_zone_id)
    requests = [
        PlacementRequest(size=size, share_proto=None, extra_specs=of_type, availability_zone=zone)
        for _, of_type in sorted(specs.items())
    ]
    chosen, consistent = placement.choose_for_group(conn, requests, group_type.specs, source.host)
    request = msgspec.structs.replace(
        request, share_types=sorted(specs), share_network_id=source.share_network_id
    )
    place = Place(chosen, source.availability_zone_id, source.share_server_id, consistent)
    if chosen.host is not None:
        if not placement.claim_more(conn, source.host, size):
            raise Conflict("Another request took the room on the pool; repeat this one.")
        _claim_quotas(conn, caller, members, quota_defaults)
    group_id = share_group_creation.store(conn, caller, request, place)
    if chosen.host is not None and members:
        _store_shares(conn, caller, group_id, source, specs, members)
    return groups.get(conn, caller, group_id)


# --- for operations -------------------------------------------------------------------------------


def members_to_make(conn: Connection, group_id: str) -> list[NewMember]:
    """The shares that are made with the group, in the order in which they are made. Raises Refused
    if the snapshot of one is gone, as an administrator may delete it by force."""
    rows = conn.execute(
        sa.select(
            share_instances.c.id.label("instance_id"),
            share_snapshot_instances.c.id.label("snapshot_instance_id"),
            share_snapshot_instances.c.share_instance_id.label("source_instance_id"),
        )
        .join(shares, shares.c.id == share_instances.c.share_id)
        .outerjoin(
            share_snapshot_instances,
            share_snapshot_instances.c.snapshot_id
            == shares.c.source_share_group_snapshot_member_id,
        )
        .where(
            shares.c.share_group_id == group_id,
            shares.c.source_share_group_snapshot_member_id.is_not(None),
        )
        .order_by(share_instances.c.id)
    )
    members = rows.mappings().all()
    if any(member["snapshot_instance_id"] is None for member in members):
        raise Refused(
            "The share group snapshot that the group is made from is gone.", is_public=True
        )
    return [msgspec.convert(member, NewMember) for member in members]


def created(conn: Connection, group_id: str, made: Mapping[str, list[ExportLocation]]) -> None:
    """All shares of the group exist, with these export locations by their instances' ids; those
    that were deleted by force meanwhile stay gone."""
    for held in _held_instances(conn, group_id):
        if held.id in made:
            instances.created(conn, held.id, made[held.id])
    groups.created(conn, group_id)


def give_up(conn: Connection, group_id: str, reason: str) -> None:
    """The group and its shares are in error; its project is told why."""
    for held in _held_instances(conn, group_id):
        if held.status == "creating":
            states.move(conn, states.SHARE, held.id, "error")
    groups.fail(conn, group_id, reason)


def begin_again(conn: Connection, group_id: str) -> None:
    """The shares of a group (its row locked), which are in error, are `creating` again. Raises
    Conflict if one is not, or the source is gone or not available."""
    source_id = conn.scalar(
        sa.select(share_groups.c.source_share_group_snapshot_id).where(
            share_groups.c.id == group_id
        )
    )
    snapshot = sa.select(share_group_snapshots.c.status)
    status = conn.scalar(snapshot.where(share_group_snapshots.c.id == source_id))
    if status != "available":
        raise Conflict(
            f"The share group snapshot {source_id} that share group {group_id} was made from is "
            f"{status or 'gone'}."
        )
    for held in _held_instances(conn, group_id):
        if held.status != "error":
            raise Conflict(f"Share instance {held.id} is {held.status}, not error.")
        states.move(conn, states.SHARE, held.id, "creating")


def _held_instances(conn: Connection, group_id: str) -> Sequence[sa.Row[Any]]:
    """Id and status of the instances of the shares that were made with the group, locked."""
    return conn.execute(
        sa.select(*[share_instances.c[name] for name in ("id", "status")])
        .join(shares, shares.c.id == share_instances.c.share_id)
        .where(
            shares.c.share_group_id == group_id,
            shares.c.source_share_group_snapshot_member_id.is_not(None),
        )
        .order_by(share_instances.c.id)
        .with_for_update()
    ).all()


def _hold_source(conn: Connection, caller: Caller, group_snapshot_id: str) -> sa.Row[Any]:
    """The group that the snapshot is of: network, group and snapshot are locked, in that order. Its
    project's only, even for an administrator: the new shares are on its share server."""
    with named_in_request():
        snapshot = group_snapshots.lock(conn, caller, group_snapshot_id)
    if snapshot.project_id != caller.project_id:
        raise Invalid(f"Share group snapshot {group_snapshot_id} could not be found.")
    if snapshot.status != "available":
        raise Conflict(
            f"Share group snapshot {group_snapshot_id} must be available, it is {snapshot.status}."
        )
    group = conn.execute(
        sa.select(share_groups).where(share_groups.c.id == snapshot.share_group_id)
    ).one()
    if group.share_network_id is not None:
        network = sa.select(share_networks).where(share_networks.c.id == group.share_network_id)
        require_active(conn.execute(network).one())
    share_membership.require_server_takes_shares(conn, group)
    return group


def _types(conn: Connection, group_id: str) -> list[str]:
    table = share_group_share_type_mappings
    return list(
        conn.scalars(sa.select(table.c.share_type_id).where(table.c.share_group_id == group_id))
    )


def _members(conn: Connection, group_snapshot_id: str) -> Sequence[sa.Row[Any]]:
    """The members by their ids, with the types of their shares. Raises Invalid unless shares can be
    made from all of them."""
    members = conn.execute(
        sa.select(
            *[share_snapshots.c[name] for name in ("id", "size", "share_proto", "share_id")],
            *[shares.c.create_share_from_snapshot_support, share_instances.c.share_type_id],
        )
        .join(shares, shares.c.id == share_snapshots.c.share_id)
        .join(
            share_snapshot_instances, share_snapshot_instances.c.snapshot_id == share_snapshots.c.id
        )
        .join(
            share_instances,
            share_instances.c.id == share_snapshot_instances.c.share_instance_id,
        )
        .where(share_snapshots.c.share_group_snapshot_id == group_snapshot_id)
        .order_by(share_snapshots.c.id)
    ).all()
    for member in members:
        if not member.create_share_from_snapshot_support:
            raise Invalid(
                f"A share group cannot be made from share group snapshot {group_snapshot_id}: no "
                f"share can be made from snapshots of share {member.share_id}, whose type lacks "
                "create_share_from_snapshot_support."
            )
    return members


def _claim_quotas(
    conn: Connection,
    caller: Caller,
    members: Sequence[sa.Row[Any]],
    defaults: Mapping[str, int] | None,
) -> None:
    sizes: dict[str, list[int]] = defaultdict(list)
    for member in members:
        sizes[member.share_type_id].append(member.size)
    for type_id, of_type in sorted(sizes.items()):
        quota_usages.claim(
            conn,
            caller.project_id,
            caller.user_id,
            type_id,
            defaults=defaults,
            share_size=max(of_type),
            shares=len(of_type),
            gigabytes=sum(of_type),
        )


def _store_shares(
    conn: Connection,
    caller: Caller,
    group_id: str,
    source: sa.Row[Any],
    specs: Mapping[str, Mapping[str, str]],
    members: Sequence[sa.Row[Any]],
) -> None:
    """A share in `creating` for each member, in a fixed number of statements."""
    ids, now = {member.id: str(uuid4()) for member in members}, utcnow()
    choices = _export_choices(conn, source, specs)
    conn.execute(
        sa.insert(shares),
        [
            {
                "id": ids[member.id],
                "project_id": caller.project_id,
                "user_id": caller.user_id,
                "size": member.size,
                "share_proto": member.share_proto,
                "is_public": False,
                "metadata": {},
                "export_choice": export_choices.stored(choices[member.share_type_id]),
                "share_group_id": group_id,
                "source_share_group_snapshot_member_id": member.id,
                "replication_type": specs[member.share_type_id].get("replication_type"),
                "created_at": now,
                **share_supports.of_type(specs[member.share_type_id]),
            }
            for member in members
        ],
    )
    conn.execute(
        sa.insert(share_instances),
        [
            {
                "id": str(uuid4()),
                "share_id": ids[member.id],
                "share_type_id": member.share_type_id,
                "share_network_id": source.share_network_id,
                "share_server_id": source.share_server_id,
                "availability_zone_id": source.availability_zone_id,
                "host": source.host,
                "status": "creating",
                "is_pinned": True,
                "access_rules_status": "active",
                "created_at": now,
            }
            for member in members
        ],
    )
    plans = {
        type_id: schedules.plans(
            {},
            of_type,
            snapshot_support=share_supports.is_true(of_type.get(types.SNAPSHOT_SUPPORT)),
        )
        for type_id, of_type in specs.items()
    }
    schedules.begin(conn, {ids[member.id]: plans[member.share_type_id] for member in members})


def _export_choices(
    conn: Connection, source: sa.Row[Any], specs: Mapping[str, Mapping[str, str]]
) -> dict[str, ExportChoice]:
    """By share type, on which subnets of the source's server its shares are exported. Raises
    Invalid if that is on none."""
    made = [type_id for type_id, of_type in specs.items() if export_choices.is_made({}, of_type)]
    choices = {type_id: ExportChoice() for type_id in specs}
    if made:
        if source.share_server_id is None:
            raise export_choices.no_server()
        subnets = export_choices.subnets_of(conn, [source.share_server_id])
        for type_id in made:
            choices[type_id] = export_choices.choose({}, specs[type_id], subnets)
            export_choices.require_capable(conn, choices[type_id], [source.host])
    return choices
