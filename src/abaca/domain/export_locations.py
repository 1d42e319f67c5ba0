"""Export locations of shares: reading; and storing what a driver gives of shares and snapshots, with the ids and the order of those that stay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import share_export_locations, share_instances, share_snapshot_export_locations
from abaca.domain import shares
from abaca.errors import Missing
from abaca.values import Caller, ExportLocation


def find(conn: Connection, caller: Caller, share_id: str) -> list[dict[str, Any]]:
    """All export locations of a share in their stable order; those for administrators only for them."""
    shares.get(conn, caller, share_id)
    return [dict(row) for row in conn.execute(_select(caller, share_id)).mappings()]


def get(conn: Connection, caller: Caller, share_id: str, export_location_id: str) -> dict[str, Any]:
    """One export location, looked up by its share too."""
    shares.get(conn, caller, share_id)
    row = conn.execute(_select(caller, share_id).where(share_export_locations.c.id == export_location_id)).mappings().one_or_none()
    if row is None:
        raise Missing(f"Export location '{export_location_id}' not found.")
    return dict(row)


def change_metadata(
    conn: Connection, caller: Caller, share_id: str, export_location_id: str, change: Callable[[dict[str, str]], dict[str, str]]
) -> dict[str, str]:
    """Replace the metadata of an export location by `change` of it, its row held; what it is then."""
    shares.require_own(conn, caller, share_id)
    get(conn, caller, share_id, export_location_id)
    location = lock_row(conn, share_export_locations, export_location_id)
    if location is None:
        raise Missing(f"Export location '{export_location_id}' not found.")
    metadata = change(location.metadata)
    table = share_export_locations
    conn.execute(sa.update(table).where(table.c.id == export_location_id).values(metadata=metadata, updated_at=utcnow()))
    return metadata


def find_of_instance(conn: Connection, instance_id: str) -> list[dict[str, Any]]:
    """All export locations of a share instance, for administrators. Missing when there is no such instance."""
    if conn.scalar(sa.select(share_instances.c.id).where(share_instances.c.id == instance_id)) is None:
        raise Missing(f"Share instance {instance_id} could not be found.")
    return [dict(row._mapping) for row in by_instance(conn, [instance_id])[instance_id]]


def instances_with(column: str, wanted: str) -> sa.Select[Any]:
    """A query for the ids of the share instances that have an export location with this `id` or `path`."""
    return sa.select(share_export_locations.c.share_instance_id).where(share_export_locations.c[column] == wanted)


def replace(conn: Connection, instance_id: str, locations: Sequence[ExportLocation]) -> None:
    """Store the full list of a share instance: paths that are there keep their id, their order and their preference; new ones follow."""
    _replace(conn, share_export_locations, "share_instance_id", instance_id, locations)


def replace_of_snapshot(conn: Connection, snapshot_instance_id: str, locations: Sequence[ExportLocation]) -> None:
    """The same for a snapshot instance."""
    _replace(conn, share_snapshot_export_locations, "share_snapshot_instance_id", snapshot_instance_id, locations)


def by_instance(conn: Connection, instance_ids: Sequence[str]) -> dict[str, list[sa.Row[Any]]]:
    """Share instance id → its export locations in their stable order."""
    return _by_owner(conn, share_export_locations, "share_instance_id", instance_ids)


def by_snapshot_instance(conn: Connection, snapshot_instance_ids: Sequence[str]) -> dict[str, list[sa.Row[Any]]]:
    """Snapshot instance id → its export locations in their stable order."""
    return _by_owner(conn, share_snapshot_export_locations, "share_snapshot_instance_id", snapshot_instance_ids)


def _replace(conn: Connection, table: sa.Table, owner: str, owner_id: str, locations: Sequence[ExportLocation]) -> None:
    known = conn.execute(sa.select(table).where(table.c[owner] == owner_id).order_by(table.c.position)).all()
    wanted = {location.path: location for location in locations}
    gone = [row.id for row in known if row.path not in wanted]
    if gone:
        conn.execute(sa.delete(table).where(table.c.id.in_(gone)))
    kept = {row.path for row in known}
    fresh = [location for location in wanted.values() if location.path not in kept]
    if not fresh:
        return
    first = max((row.position for row in known), default=-1) + 1
    # One preferred location a family: clients that follow the preference must not move when a subnet is added.
    taken = {_family(row.path) for row in known if row.preferred and row.id not in gone}
    now = utcnow()
    rows = []
    for position, location in enumerate(fresh, first):
        preferred = location.preferred and _family(location.path) not in taken
        rows.append(
            {
                "id": str(uuid4()),
                owner: owner_id,
                "path": location.path,
                "position": position,
                "preferred": preferred,
                "is_admin_only": location.is_admin_only,
                "metadata": location.metadata,
                "created_at": now,
                "updated_at": now,
            }
        )
        if preferred:
            taken.add(_family(location.path))
    conn.execute(sa.insert(table), rows)


def _by_owner(conn: Connection, table: sa.Table, owner: str, owner_ids: Sequence[str]) -> dict[str, list[sa.Row[Any]]]:
    found = defaultdict(list)
    for row in conn.execute(sa.select(table).where(table.c[owner].in_(owner_ids)).order_by(table.c.position)):
        found[row._mapping[owner]].append(row)
    return found


def _family(path: str) -> int:
    return 6 if path.startswith("[") else 4


def _select(caller: Caller, share_id: str) -> sa.Select[Any]:
    table = share_export_locations
    query = sa.select(table).join(share_instances).where(share_instances.c.share_id == share_id).order_by(table.c.position)
    return query if caller.is_admin else query.where(~table.c.is_admin_only)
