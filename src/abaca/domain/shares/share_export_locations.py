"""Export locations of shares as callers see them, and their metadata. They are stored by
`export_locations`.

Where names are published in DNS (`dns_domain`), the metadata of each shows the name to mount by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import share_export_locations, share_instances
from abaca.db.tables import shares as shares_table
from abaca.domain.shares import dns_names, export_locations, shares
from abaca.domain.shares.share_instances import IS_ACTIVE
from abaca.errors import Invalid, Missing
from abaca.values import Caller


def find(
    conn: Connection, caller: Caller, share_id: str, dns_domain: str | None = None
) -> list[dict[str, Any]]:
    """All export locations of a share, those of its active instance, in their stable order; those
    for administrators only for them."""
    share = shares.get(conn, caller, share_id)
    return _named(conn, conn.execute(_select(caller, share_id)), share, dns_domain)


def get(
    conn: Connection,
    caller: Caller,
    share_id: str,
    export_location_id: str,
    dns_domain: str | None = None,
) -> dict[str, Any]:
    """One export location, looked up by its share too."""
    share = shares.get(conn, caller, share_id)
    query = _select(caller, share_id).where(share_export_locations.c.id == export_location_id)
    found = _named(conn, conn.execute(query), share, dns_domain)
    if not found:
        raise Missing(f"Export location '{export_location_id}' not found.")
    return found[0]


def change_metadata(
    conn: Connection,
    caller: Caller,
    share_id: str,
    export_location_id: str,
    change: Callable[[dict[str, str]], dict[str, str]],
) -> dict[str, str]:
    """Replace the metadata of an export location by the result of `change`, with its row locked;
    returns the new metadata."""
    shares.require_own(conn, caller, share_id)
    get(conn, caller, share_id, export_location_id)
    location = lock_row(conn, share_export_locations, export_location_id)
    if location is None:
        raise Missing(f"Export location '{export_location_id}' not found.")
    metadata = change(location.metadata)
    if dns_names.SHOWN_KEY in metadata.keys() - location.metadata.keys():
        raise Invalid(
            f"The metadata {dns_names.SHOWN_KEY} is only shown: set {dns_names.KEY} in the "
            "metadata of the share instead."
        )
    table = share_export_locations
    conn.execute(
        sa.update(table)
        .where(table.c.id == export_location_id)
        .values(metadata=metadata, updated_at=utcnow())
    )
    return metadata


def find_of_instance(
    conn: Connection, instance_id: str, dns_domain: str | None = None
) -> list[dict[str, Any]]:
    """All export locations of a share instance, for administrators. Missing when there is no such
    instance."""
    row = conn.execute(_SHARE_OF_INSTANCE, {"instance_id": instance_id}).one_or_none()
    if row is None:
        raise Missing(f"Share instance {instance_id} could not be found.")
    share = row._asdict()
    if not row.active:
        share["metadata"] = {}  # the name of a share leads to its active instance
    rows = export_locations.by_instance(conn, [instance_id])[instance_id]
    return _named(conn, rows, share, dns_domain)


_SHARE_OF_INSTANCE = (
    sa.select(
        share_instances.c.active,
        share_instances.c.share_server_id,
        *[shares_table.c[name] for name in ("id", "project_id", "metadata", "created_at")],
    )
    .join(shares_table, shares_table.c.id == share_instances.c.share_id)
    .where(share_instances.c.id == sa.bindparam("instance_id"))
)


def _named(
    conn: Connection,
    rows: Iterable[sa.Row[Any]],
    share: Mapping[str, Any],
    dns_domain: str | None,
) -> list[dict[str, Any]]:
    """The rows; those that everybody sees with the name in their metadata."""
    found = [dict(row._mapping) for row in rows]
    name = dns_names.shown(conn, dns_domain, share) if dns_domain and found else None
    for location in found:
        if name is not None and not location["is_admin_only"]:
            location["metadata"] = {**location["metadata"], dns_names.SHOWN_KEY: name}
    return found


def _select(caller: Caller, share_id: str) -> sa.Select[Any]:
    table = share_export_locations
    query = (
        sa.select(table)
        .join(share_instances)
        .where(share_instances.c.share_id == share_id, IS_ACTIVE)
        .order_by(table.c.position)
    )
    return query if caller.is_admin else query.where(~table.c.is_admin_only)
