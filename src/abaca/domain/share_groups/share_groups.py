"""Share groups: reading, renaming, deleting. Making one: `share_group_creation`; shares in one:
`shares.share_membership`.

A view has the columns of the row, share_types (ids) and availability_zone (name).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import dicts, lock_row, utcnow
from abaca.db.tables import (
    availability_zones,
    share_group_share_type_mappings,
    share_group_snapshots,
    share_groups,
    share_networks,
    shares,
)
from abaca.domain.capacity import quota_usages
from abaca.domain.rows import messages, states
from abaca.domain.rows.listings import Listing, containing, equal
from abaca.domain.rows.states import Permit
from abaca.domain.share_servers import share_servers
from abaca.domain.shares.shares import start_on
from abaca.errors import Conflict, Invalid, Missing
from abaca.values import Caller

_COLUMNS = {
    name: share_groups.c[name]
    for name in (
        "name",
        "description",
        "status",
        "share_server_id",
        "share_group_type_id",
        "host",
        "project_id",
        "source_share_group_snapshot_id",
        "share_network_id",
    )
}


def get(conn: Connection, caller: Caller, group_id: str) -> dict[str, Any]:
    """One group of the caller's project, any for an administrator. Raises Missing."""
    query = _visible(caller, all_projects=True).where(share_groups.c.id == group_id)
    rows = _views(conn, dicts(conn.execute(query)))
    if not rows:
        raise _missing(group_id)
    return rows[0]


def update(
    conn: Connection, caller: Caller, group_id: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """Change name, description."""
    get(conn, caller, group_id)
    allowed = {name: changes[name] for name in ("name", "description") if name in changes}
    conn.execute(
        sa.update(share_groups)
        .where(share_groups.c.id == group_id)
        .values(updated_at=utcnow(), **allowed)
    )
    return get(conn, caller, group_id)


def delete(conn: Connection, caller: Caller, group_id: str) -> None:
    """Delete a group without shares and snapshots, at once: nothing of it is on a back end. Its
    share server stays until it has been unused for a while. Raises Conflict."""
    group = lock(conn, caller, group_id)
    if not states.SHARE_GROUP.permits(group.status, Permit.DELETE):
        permitting = ", ".join(states.SHARE_GROUP.permitted[Permit.DELETE])
        raise Conflict(
            f"Share group {group_id} is {group.status}; to be deleted, it must be {permitting}."
        )
    _remove(conn, group)


def force_delete(conn: Connection, caller: Caller, group_id: str) -> None:
    """Delete a group without shares and snapshots whatever its status. Raises Conflict."""
    _remove(conn, lock(conn, caller, group_id))


def reset_status(conn: Connection, caller: Caller, group_id: str, status: str) -> None:
    """The administrator sets a status by hand."""
    known = states.statuses(states.SHARE_GROUP)
    if status not in known:
        raise Invalid(f"Invalid state. Valid states: {', '.join(known)}.")
    lock(conn, caller, group_id)
    states.force(conn, states.SHARE_GROUP, group_id, status)


def lock(conn: Connection, caller: Caller, group_id: str) -> sa.Row[Any]:
    """The row of a group of the caller's project, locked after that of its network."""
    network_id = get(conn, caller, group_id)["share_network_id"]
    if network_id is not None:
        lock_row(conn, share_networks, network_id)
    group = lock_row(conn, share_groups, group_id)
    if group is None:  # it went while its network's row was waited for
        raise _missing(group_id)
    return group


def start_creation(conn: Connection, group_id: str) -> None:
    """Enqueue the work that makes a group, which is placed and in `creating`."""
    group = conn.execute(sa.select(share_groups).where(share_groups.c.id == group_id)).one()
    server_id = group.share_server_id
    from_snapshot = group.source_share_group_snapshot_id is not None
    start_on(
        conn,
        "share_group_clone" if from_snapshot else "share_group_create",
        group_id,
        group.host,
        server_id,
        group.project_id,
        server_id or "",
        group.host,
    )


# --- for operations -------------------------------------------------------------------------------


def created(conn: Connection, group_id: str) -> None:
    """The group's share server stands: it takes shares."""
    _settle(conn, group_id, "available")


def fail(conn: Connection, group_id: str, reason: str) -> None:
    """The group could not be made: its project is told why."""
    group = _settle(conn, group_id, "error")
    if group is not None:
        messages.create(
            conn,
            project_id=group.project_id,
            resource_type="SHARE_GROUP",
            resource_id=group_id,
            action=messages.Action.CREATE,
            text=reason,
        )


def _settle(conn: Connection, group_id: str, status: str) -> sa.Row[Any] | None:
    """Set the final status of work; one that an administrator has set meanwhile stays. Returns the
    group's row; None if it does not exist."""
    group = lock_row(conn, share_groups, group_id)
    if group is not None and states.may_follow(states.SHARE_GROUP, group.status, status):
        states.move(conn, states.SHARE_GROUP, group_id, status)
    return group


def _remove(conn: Connection, group: sa.Row[Any]) -> None:
    for table, what in ((shares, "shares"), (share_group_snapshots, "snapshots")):
        used = sa.select(table.c.id).where(table.c.share_group_id == group.id).limit(1)
        if conn.execute(used).first():
            raise Conflict(
                f"Cannot delete share group {group.id}: it has {what}. Delete them first."
            )
    quota_usages.release(conn, group.project_id, group.user_id, share_groups=1)
    conn.execute(sa.delete(share_groups).where(share_groups.c.id == group.id))
    if group.share_server_id is not None:
        share_servers.restart_idle_timer(conn, group.share_server_id)


def _visible(caller: Caller, all_projects: bool) -> sa.Select[Any]:
    query = sa.select(share_groups, availability_zones.c.name.label("availability_zone")).outerjoin(
        availability_zones, availability_zones.c.id == share_groups.c.availability_zone_id
    )
    return (
        query
        if all_projects and caller.is_admin
        else query.where(share_groups.c.project_id == caller.project_id)
    )


def _views(conn: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    table = share_group_share_type_mappings
    chosen = sa.select(table).where(table.c.share_group_id.in_([row["id"] for row in rows]))
    type_ids: dict[str, list[str]] = defaultdict(list)
    for mapping in conn.execute(chosen.order_by(table.c.share_type_id)):
        type_ids[mapping.share_group_id].append(mapping.share_type_id)
    for row in rows:
        row["share_types"] = type_ids[row["id"]]
    return rows


def _missing(group_id: str) -> Missing:
    return Missing(f"Share group {group_id} could not be found.")


LISTING = Listing(
    "Share groups",
    _visible,
    share_groups.c.id,
    conditions={
        **equal(_COLUMNS),
        **containing({name: _COLUMNS[name] for name in ("name", "description")}),
    },
    sort_keys=_COLUMNS
    | {
        name: share_groups.c[name]
        for name in ("id", "created_at", "updated_at", "availability_zone_id")
    },
    view=_views,
)
