"""Export locations of snapshots that can be mounted: reading. They are stored by
`export_locations`, as those of shares are."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import dicts
from abaca.db.tables import share_snapshot_export_locations, share_snapshot_instances
from abaca.domain.snapshots import share_snapshot_instances as instances
from abaca.domain.snapshots import snapshots
from abaca.errors import Missing
from abaca.values import Caller


def find(conn: Connection, caller: Caller, snapshot_id: str) -> list[dict[str, Any]]:
    """All export locations of a snapshot in their stable order; admin-only ones only for
    administrators."""
    snapshots.get(conn, caller, snapshot_id)
    return _found(conn, caller, share_snapshot_instances.c.snapshot_id == snapshot_id)


def get(
    conn: Connection, caller: Caller, snapshot_id: str, export_location_id: str
) -> dict[str, Any]:
    """One export location, looked up by its snapshot too."""
    return _one(find(conn, caller, snapshot_id), export_location_id)


def find_of_instance(conn: Connection, caller: Caller, instance_id: str) -> list[dict[str, Any]]:
    """All export locations of a snapshot instance. Missing when there is no such instance."""
    instances.get(conn, instance_id)
    return _found(conn, caller, share_snapshot_instances.c.id == instance_id)


def get_of_instance(
    conn: Connection, caller: Caller, instance_id: str, export_location_id: str
) -> dict[str, Any]:
    """One export location, looked up by its snapshot instance too."""
    return _one(find_of_instance(conn, caller, instance_id), export_location_id)


def _one(found: list[dict[str, Any]], export_location_id: str) -> dict[str, Any]:
    for location in found:
        if location["id"] == export_location_id:
            return location
    raise Missing(f"Export location '{export_location_id}' not found.")


def _found(conn: Connection, caller: Caller, of: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    table = share_snapshot_export_locations
    query = sa.select(table).join(share_snapshot_instances).where(of).order_by(table.c.position)
    return dicts(conn.execute(query if caller.is_admin else query.where(~table.c.is_admin_only)))
