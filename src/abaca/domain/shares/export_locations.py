"""Export locations of share instances and snapshot instances, as drivers return them: those that
stay keep their ids and their order.

For callers: `share_export_locations`, `snapshot_export_locations`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import share_export_locations, share_snapshot_export_locations
from abaca.values import ExportLocation


def instances_with(column: str, wanted: str) -> sa.Select[Any]:
    """A query for the ids of the share instances that have an export location with this `id` or
    `path`."""
    return sa.select(share_export_locations.c.share_instance_id).where(
        share_export_locations.c[column] == wanted
    )


def replace(conn: Connection, instance_id: str, locations: Sequence[ExportLocation]) -> None:
    """Store the full list of a share instance: existing paths keep their id, order and preference;
    new ones follow."""
    _replace(conn, share_export_locations, "share_instance_id", instance_id, locations)


def replace_of_snapshot(
    conn: Connection, snapshot_instance_id: str, locations: Sequence[ExportLocation]
) -> None:
    """The same for a snapshot instance."""
    _replace(
        conn,
        share_snapshot_export_locations,
        "share_snapshot_instance_id",
        snapshot_instance_id,
        locations,
    )


def by_instance(conn: Connection, instance_ids: Sequence[str]) -> dict[str, list[sa.Row[Any]]]:
    """Share instance id → its export locations in their stable order."""
    return _by_owner(conn, share_export_locations, "share_instance_id", instance_ids)


def by_snapshot_instance(
    conn: Connection, snapshot_instance_ids: Sequence[str]
) -> dict[str, list[sa.Row[Any]]]:
    """Snapshot instance id → its export locations in their stable order."""
    return _by_owner(
        conn, share_snapshot_export_locations, "share_snapshot_instance_id", snapshot_instance_ids
    )


def _replace(
    conn: Connection,
    table: sa.Table,
    owner: str,
    owner_id: str,
    locations: Sequence[ExportLocation],
) -> None:
    known = conn.execute(
        sa.select(table).where(table.c[owner] == owner_id).order_by(table.c.position)
    ).all()
    wanted = {location.path: location for location in locations}
    gone = [row.id for row in known if row.path not in wanted]
    if gone:
        conn.execute(sa.delete(table).where(table.c.id.in_(gone)))
    kept = {row.path for row in known}
    # One preferred location a family: clients that follow the preference must not move when a
    # subnet is added. Those that only administrators see count apart.
    taken = {_kind(row) for row in known if row.preferred and row.id not in gone}
    for row in known:
        # the preferred one of its kind is gone
        if row.path in wanted and wanted[row.path].preferred and _kind(row) not in taken:
            taken.add(_kind(row))
            conn.execute(sa.update(table).where(table.c.id == row.id).values(preferred=True))
    fresh = [location for location in wanted.values() if location.path not in kept]
    if not fresh:
        return
    first = max((row.position for row in known), default=-1) + 1
    now = utcnow()
    rows = []
    for position, location in enumerate(fresh, first):
        preferred = location.preferred and _kind(location) not in taken
        rows.append(
            {
                "id": str(uuid4()),
                owner: owner_id,
                "path": location.path,
                "ip_version": location.ip_version,
                "position": position,
                "preferred": preferred,
                "is_admin_only": location.is_admin_only,
                "metadata": location.metadata,
                "created_at": now,
                "updated_at": now,
            }
        )
        if preferred:
            taken.add(_kind(location))
    conn.execute(sa.insert(table), rows)


def _by_owner(
    conn: Connection, table: sa.Table, owner: str, owner_ids: Sequence[str]
) -> dict[str, list[sa.Row[Any]]]:
    found = defaultdict(list)
    for row in conn.execute(
        sa.select(table).where(table.c[owner].in_(owner_ids)).order_by(table.c.position)
    ):
        found[row._mapping[owner]].append(row)
    return found


def _kind(location: ExportLocation | sa.Row[Any]) -> tuple[bool, int | None]:
    return location.is_admin_only, location.ip_version
