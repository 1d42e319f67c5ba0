"""Snapshots of share groups: all members are taken, or none.

A member is a snapshot of one share of the group: a row of `share_snapshots` that names the group
snapshot, with its instance. So the back end is told of it, and its share is kept, as for any
snapshot; requests about snapshots do not find it. It counts as one against the quotas.

A view has the columns of the row and `members` (id, size, share_id of each).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import dicts, lock_row, utcnow
from abaca.db.tables import (
    share_group_snapshots,
    share_groups,
    share_instances,
    share_snapshot_instances,
    share_snapshots,
    shares,
)
from abaca.domain.capacity import quota_usages
from abaca.domain.rows import messages, states
from abaca.domain.rows.listings import Listing, containing, equal
from abaca.domain.rows.states import Permit
from abaca.domain.share_groups import share_groups as groups
from abaca.domain.shares.shares import start_on
from abaca.domain.snapshots import share_snapshot_instances as instances
from abaca.errors import Conflict, Missing, named_in_request
from abaca.values import Caller, SnapshotUpdate, Value

_COLUMNS = {
    name: share_group_snapshots.c[name]
    for name in ("name", "description", "status", "share_group_id", "project_id")
}
_WORK = {"creating": "share_group_snapshot_create", "deleting": "share_group_snapshot_delete"}
_MEMBERS = (
    sa.select(
        share_snapshots,
        share_snapshot_instances.c.id.label("instance_id"),
        share_snapshot_instances.c.share_instance_id,
        share_snapshot_instances.c.status,
    )
    .join(share_snapshot_instances, share_snapshot_instances.c.snapshot_id == share_snapshots.c.id)
    .order_by(share_snapshots.c.share_id)
)


class Member(Value):
    """What work needs of a member: the ids of its snapshot instance and of its share's."""

    instance_id: str
    share_instance_id: str


def create(
    conn: Connection,
    caller: Caller,
    group_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    quota_defaults: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Store a snapshot of each share of the group in `creating` and have them taken; returns the
    view. Raises Invalid for an unknown group, Conflict for a group or a share in it that is not
    available, OverQuota."""
    with named_in_request():
        group = groups.lock(conn, caller, group_id)
    held = _hold_shares(conn, group)
    _claim(conn, group.project_id, caller.user_id, held, quota_defaults)
    group_snapshot_id, now = str(uuid4()), utcnow()
    conn.execute(
        sa.insert(share_group_snapshots).values(
            id=group_snapshot_id,
            project_id=group.project_id,
            user_id=caller.user_id,
            name=name,
            description=description,
            status="creating",
            share_group_id=group_id,
            created_at=now,
        )
    )
    ids = {share.id: str(uuid4()) for share in held}
    if held:
        conn.execute(
            sa.insert(share_snapshots),
            [
                {
                    "id": ids[share.id],
                    "project_id": group.project_id,
                    "user_id": caller.user_id,
                    "share_id": share.id,
                    "size": share.size,
                    "share_proto": share.share_proto,
                    "metadata": {},
                    "share_group_snapshot_id": group_snapshot_id,
                    "created_at": now,
                }
                for share in held
            ],
        )
        conn.execute(
            sa.insert(share_snapshot_instances),
            [
                {
                    "id": str(uuid4()),
                    "snapshot_id": ids[share.id],
                    "share_instance_id": share.instance_id,
                    "status": "creating",
                    "created_at": now,
                }
                for share in held
            ],
        )
    _enqueue(conn, group, group_snapshot_id, "creating")
    return get(conn, caller, group_snapshot_id)


def get(conn: Connection, caller: Caller, group_snapshot_id: str) -> dict[str, Any]:
    """One group snapshot of the caller's project, any for an administrator. Raises Missing."""
    query = _visible(caller, all_projects=True).where(
        share_group_snapshots.c.id == group_snapshot_id
    )
    rows = _views(conn, dicts(conn.execute(query)))
    if not rows:
        raise _missing(group_snapshot_id)
    return rows[0]


def find_members(conn: Connection, caller: Caller, group_snapshot_id: str) -> list[dict[str, Any]]:
    """The members: columns of their snapshots. Raises Missing."""
    get(conn, caller, group_snapshot_id)
    return [dict(row._mapping) for row in members(conn, group_snapshot_id)]


def update(
    conn: Connection, caller: Caller, group_snapshot_id: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """Change name, description."""
    get(conn, caller, group_snapshot_id)
    allowed = {name: changes[name] for name in ("name", "description") if name in changes}
    conn.execute(
        sa.update(share_group_snapshots)
        .where(share_group_snapshots.c.id == group_snapshot_id)
        .values(updated_at=utcnow(), **allowed)
    )
    return get(conn, caller, group_snapshot_id)


def delete(conn: Connection, caller: Caller, group_snapshot_id: str) -> None:
    """Delete a group snapshot with its members, in the background. Raises Conflict in a status that
    does not permit it, and while a group is being made from it."""
    row = lock(conn, caller, group_snapshot_id)
    if not states.SHARE_GROUP_SNAPSHOT.permits(row.status, Permit.DELETE):
        permitting = ", ".join(states.SHARE_GROUP_SNAPSHOT.permitted[Permit.DELETE])
        raise Conflict(
            f"Share group snapshot {group_snapshot_id} is {row.status}; to be deleted, it must be "
            f"{permitting}."
        )
    being_made = sa.select(share_groups.c.id).where(
        share_groups.c.source_share_group_snapshot_id == group_snapshot_id,
        share_groups.c.status == "creating",
    )
    if copy := conn.scalar(being_made.limit(1)):
        raise Conflict(
            f"Share group {copy} is still being created from share group snapshot "
            f"{group_snapshot_id}."
        )
    start(conn, row, "deleting")


def force_delete(conn: Connection, caller: Caller, group_snapshot_id: str) -> None:
    """Delete a group snapshot whatever its status."""
    start(conn, lock(conn, caller, group_snapshot_id), "deleting")


def reset_status(conn: Connection, caller: Caller, group_snapshot_id: str, status: str) -> None:
    """The administrator sets a status by hand; those of its members stay. Raises Conflict for
    `available` unless all members are."""
    states.require_settable(status)
    lock(conn, caller, group_snapshot_id)
    if status == "available":
        for member in members(conn, group_snapshot_id):
            if member.status != "available":
                raise Conflict(
                    f"Share group snapshot {group_snapshot_id} has a member that is "
                    f"{member.status}: it cannot be available."
                )
    states.force(conn, states.SHARE_GROUP_SNAPSHOT, group_snapshot_id, status)


def lock(conn: Connection, caller: Caller, group_snapshot_id: str) -> sa.Row[Any]:
    """The row of a group snapshot of the caller's project, locked after that of its group."""
    groups.lock(conn, caller, get(conn, caller, group_snapshot_id)["share_group_id"])
    row = lock_row(conn, share_group_snapshots, group_snapshot_id)
    if row is None:  # it went while its group's row was waited for
        raise _missing(group_snapshot_id)
    return row


def members(conn: Connection, group_snapshot_id: str) -> Sequence[sa.Row[Any]]:
    """The members by their shares' ids: columns of the snapshots, with the instance_id,
    share_instance_id and status of their instances."""
    return conn.execute(
        _MEMBERS.where(share_snapshots.c.share_group_snapshot_id == group_snapshot_id)
    ).all()


def start(conn: Connection, row: sa.Row[Any], status: str) -> None:
    """Have a group snapshot (as `lock` returns it) created or deleted: `status` is `creating` or
    `deleting`, that of its members, too."""
    _bring(conn, states.SHARE_GROUP_SNAPSHOT, row.id, row.status, status)
    for member in members(conn, row.id):
        held = instances.locked(conn, member.instance_id)
        if held is not None:
            _bring(conn, states.SNAPSHOT, held.instance_id, held.status, status)
    group = conn.execute(sa.select(share_groups).where(share_groups.c.id == row.share_group_id))
    _enqueue(conn, group.one(), row.id, status)


# --- for operations -------------------------------------------------------------------------------


def members_at_work(conn: Connection, group_snapshot_id: str) -> list[Member]:
    """The members, in the order in which they are taken and deleted."""
    return [
        Member(instance_id=row.instance_id, share_instance_id=row.share_instance_id)
        for row in members(conn, group_snapshot_id)
    ]


def created(conn: Connection, group_snapshot_id: str, taken: Mapping[str, SnapshotUpdate]) -> None:
    """All members exist. `taken`: by the id of their instance."""
    row = lock_row(conn, share_group_snapshots, group_snapshot_id)
    if row is None:
        return
    for instance_id, update_of_member in taken.items():
        instances.created(conn, instance_id, update_of_member)
    _settle(conn, row, "available")


def removed(conn: Connection, group_snapshot_id: str) -> None:
    """All members are gone: so is the group snapshot."""
    row = lock_row(conn, share_group_snapshots, group_snapshot_id)
    if row is None:
        return
    quota_usages.release(conn, row.project_id, row.user_id, share_group_snapshots=1)
    conn.execute(
        sa.delete(share_group_snapshots).where(share_group_snapshots.c.id == group_snapshot_id)
    )


def fail(
    conn: Connection,
    group_snapshot_id: str,
    status_of_members: str,
    action: messages.Action,
    reason: str,
) -> None:
    """The group snapshot is in error, unless it is to be deleted by now, and its members are as
    given; its project is told why."""
    row = lock_row(conn, share_group_snapshots, group_snapshot_id)
    if row is None:
        return
    for member in members(conn, group_snapshot_id):
        held = instances.locked(conn, member.instance_id)
        if held is not None:
            instances.settle(conn, held, status_of_members)
    if action is messages.Action.DELETE or row.status != "deleting":
        _settle(conn, row, "error")
    messages.create(
        conn,
        project_id=row.project_id,
        resource_type="SHARE_GROUP_SNAPSHOT",
        resource_id=group_snapshot_id,
        action=action,
        text=reason,
    )


def _hold_shares(conn: Connection, group: sa.Row[Any]) -> Sequence[sa.Row[Any]]:
    """The shares of a group (its row locked) with their instances, locked by their ids. Raises
    Conflict unless a snapshot can be taken of all of them."""
    if group.status != "available" or group.host is None:
        raise Conflict(f"Share group {group.id} must be available, it is {group.status}.")
    held = conn.execute(
        sa.select(
            shares,
            *[share_instances.c[name] for name in ("share_type_id", "status")],
            share_instances.c.id.label("instance_id"),
        )
        .join(share_instances, share_instances.c.share_id == shares.c.id)
        .where(shares.c.share_group_id == group.id)
        .order_by(shares.c.id)
        .with_for_update()
    ).all()
    for share in held:
        if share.status != "available":
            raise Conflict(
                f"Share {share.id} in share group {group.id} must be available, it is "
                f"{share.status}."
            )
        if not share.snapshot_support:
            raise Conflict(
                f"Share {share.id} in share group {group.id} is of a type without snapshots."
            )
    return held


def _claim(
    conn: Connection,
    project_id: str,
    user_id: str | None,
    held: Sequence[sa.Row[Any]],
    defaults: Mapping[str, int] | None,
) -> None:
    """Count the group snapshot, and its members as snapshots of the types of their shares."""
    quota_usages.claim(conn, project_id, user_id, defaults=defaults, share_group_snapshots=1)
    sizes: dict[str, list[int]] = defaultdict(list)
    for share in held:
        sizes[share.share_type_id].append(share.size)
    for type_id, of_type in sorted(sizes.items()):
        quota_usages.claim(
            conn,
            project_id,
            user_id,
            type_id,
            defaults=defaults,
            snapshots=len(of_type),
            snapshot_gigabytes=sum(of_type),
        )


def _enqueue(conn: Connection, group: sa.Row[Any], group_snapshot_id: str, status: str) -> None:
    server_id = group.share_server_id
    start_on(
        conn,
        _WORK[status],
        group_snapshot_id,
        group.host,
        server_id,
        group.project_id,
        server_id or "",
        group.host,
    )


def _bring(conn: Connection, noun: states.Noun, key: str, now: str, status: str) -> None:
    """Into a status with work in progress, even from one that was set by hand."""
    if not states.may_follow(noun, now, status):
        states.force(conn, noun, key, "error")
    states.move(conn, noun, key, status)


def _settle(conn: Connection, row: sa.Row[Any], status: str) -> None:
    """Set the final status of work; one that an administrator or a forced deletion has set
    meanwhile stays."""
    if states.may_follow(states.SHARE_GROUP_SNAPSHOT, row.status, status):
        states.move(conn, states.SHARE_GROUP_SNAPSHOT, row.id, status)


def _visible(caller: Caller, all_projects: bool) -> sa.Select[Any]:
    query = sa.select(share_group_snapshots)
    return (
        query
        if all_projects and caller.is_admin
        else query.where(share_group_snapshots.c.project_id == caller.project_id)
    )


def _views(conn: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    member_of = share_snapshots.c.share_group_snapshot_id
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for member in dicts(conn.execute(_MEMBERS.where(member_of.in_([row["id"] for row in rows])))):
        found[member["share_group_snapshot_id"]].append(
            {name: member[name] for name in ("id", "size", "share_id")}
        )
    for row in rows:
        row["members"] = found[row["id"]]
    return rows


def _missing(group_snapshot_id: str) -> Missing:
    return Missing(f"Share group snapshot {group_snapshot_id} could not be found.")


LISTING = Listing(
    "Share group snapshots",
    _visible,
    share_group_snapshots.c.id,
    conditions={
        **equal(_COLUMNS),
        **containing({name: _COLUMNS[name] for name in ("name", "description")}),
    },
    sort_keys=_COLUMNS
    | {name: share_group_snapshots.c[name] for name in ("id", "created_at", "updated_at")},
    view=_views,
)
"""Share group snapshots; found in two statements."""
