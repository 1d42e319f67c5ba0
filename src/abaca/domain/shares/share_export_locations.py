"""Export locations of shares as callers see them, and their metadata. They are stored by
`export_locations`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import share_export_locations, share_instances
from abaca.domain.shares import export_locations, shares
from abaca.domain.shares.share_instances import IS_ACTIVE
from abaca.errors import Missing
from abaca.values import Caller


def find(conn: Connection, caller: Caller, share_id: str) -> list[dict[str, Any]]:
    """All export locations of a share, those of its active instance, in their stable order; those
    for administrators only for them."""
    shares.get(conn, caller, share_id)
    return [dict(row) for row in conn.execute(_select(caller, share_id)).mappings()]


def get(conn: Connection, caller: Caller, share_id: str, export_location_id: str) -> dict[str, Any]:
    """One export location, looked up by its share too."""
    shares.get(conn, caller, share_id)
    row = (
        conn.execute(
            _select(caller, share_id).where(share_export_locations.c.id == export_location_id)
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise Missing(f"Export location '{export_location_id}' not found.")
    return dict(row)


def change_metadata(
    conn: Connection,
    caller: Caller,
    share_id: str,
    export_location_id: str,
    change: Callable[[dict[str, str]], dict[str, str]],
) -> dict[str, str]:
    """Replace the metadata of an export location by `change` of it, its row held; what it is
    then."""
    shares.require_own(conn, caller, share_id)
    get(conn, caller, share_id, export_location_id)
    location = lock_row(conn, share_export_locations, export_location_id)
    if location is None:
        raise Missing(f"Export location '{export_location_id}' not found.")
    metadata = change(location.metadata)
    table = share_export_locations
    conn.execute(
        sa.update(table)
        .where(table.c.id == export_location_id)
        .values(metadata=metadata, updated_at=utcnow())
    )
    return metadata


def find_of_instance(conn: Connection, instance_id: str) -> list[dict[str, Any]]:
    """All export locations of a share instance, for administrators. Missing when there is no such
    instance."""
    if (
        conn.scalar(sa.select(share_instances.c.id).where(share_instances.c.id == instance_id))
        is None
    ):
        raise Missing(f"Share instance {instance_id} could not be found.")
    return [
        dict(row._mapping) for row in export_locations.by_instance(conn, [instance_id])[instance_id]
    ]


def _select(caller: Caller, share_id: str) -> sa.Select[Any]:
    table = share_export_locations
    query = (
        sa.select(table)
        .join(share_instances)
        .where(share_instances.c.share_id == share_id, IS_ACTIVE)
        .order_by(table.c.position)
    )
    return query if caller.is_admin else query.where(~table.c.is_admin_only)
