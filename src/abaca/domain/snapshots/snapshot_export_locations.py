"""Export locations of snapshots that can be mounted: reading. They are stored by
`export_locations`, as those of shares are."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_snapshot_export_locations, share_snapshot_instances
from abaca.domain.snapshots import snapshots
from abaca.errors import Missing
from abaca.values import Caller


def find(conn: Connection, caller: Caller, snapshot_id: str) -> list[dict[str, Any]]:
    """All export locations of a snapshot in their stable order; admin-only ones only for
    administrators."""
    snapshots.get(conn, caller, snapshot_id)
    return [dict(row) for row in conn.execute(_select(caller, snapshot_id)).mappings()]


def get(
    conn: Connection, caller: Caller, snapshot_id: str, export_location_id: str
) -> dict[str, Any]:
    """One export location, looked up by its snapshot too."""
    snapshots.get(conn, caller, snapshot_id)
    one = _select(caller, snapshot_id).where(
        share_snapshot_export_locations.c.id == export_location_id
    )
    row = conn.execute(one).mappings().one_or_none()
    if row is None:
        raise Missing(f"Export location '{export_location_id}' not found.")
    return dict(row)


def _select(caller: Caller, snapshot_id: str) -> sa.Select[Any]:
    table = share_snapshot_export_locations
    query = (
        sa.select(table)
        .join(share_snapshot_instances)
        .where(share_snapshot_instances.c.snapshot_id == snapshot_id)
    )
    return (query if caller.is_admin else query.where(~table.c.is_admin_only)).order_by(
        table.c.position
    )
