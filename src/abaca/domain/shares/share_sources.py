"""The snapshot that a share is made from: what the new share inherits from the snapshot's share and
may not differ in.

It is on the same pool and share server, where the data is.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_instances, share_snapshot_instances, share_snapshots, shares
from abaca.domain.share_servers import share_servers
from abaca.errors import Invalid, Missing
from abaca.values import Caller, Value


class Source(Value):
    """A snapshot and where its share is. `host` is host@backend#pool, `size` in GiB."""

    snapshot_id: str
    instance_id: str
    size: int
    share_proto: str
    share_type_id: str
    host: str
    share_network_id: str | None
    share_server_id: str | None
    availability_zone_id: str | None


_SNAPSHOTS_COLUMNS = ("project_id", "size", "share_proto", "deletion_deferred_at")


def find(conn: Connection, caller: Caller, snapshot_id: str) -> Source:
    """A snapshot of the caller's project. Raises Missing; Invalid if no share can be made from
    it."""
    columns = (
        "share_type_id",
        "host",
        "share_network_id",
        "share_server_id",
        "availability_zone_id",
    )
    row = (
        conn.execute(
            sa.select(
                *[share_snapshots.c[name] for name in _SNAPSHOTS_COLUMNS],
                share_snapshots.c.id.label("snapshot_id"),
                share_snapshot_instances.c.id.label("instance_id"),
                shares.c.create_share_from_snapshot_support,
                *[share_instances.c[name] for name in columns],
            )
            .join(
                share_snapshot_instances,
                share_snapshot_instances.c.snapshot_id == share_snapshots.c.id,
            )
            .join(shares, shares.c.id == share_snapshots.c.share_id)
            .join(
                share_instances,
                share_instances.c.id == share_snapshot_instances.c.share_instance_id,
            )
            .where(
                share_snapshots.c.id == snapshot_id,
                share_snapshots.c.share_group_snapshot_id.is_(None),
            )
        )
        .mappings()
        .one_or_none()
    )
    is_shown = row is not None and (
        caller.is_admin
        or (row["project_id"] == caller.project_id and row["deletion_deferred_at"] is None)
    )
    if row is None or not is_shown:
        raise Missing(f"ShareSnapshotNotFound: Snapshot {snapshot_id} could not be found.")
    if not row["create_share_from_snapshot_support"]:
        raise Invalid(
            f"A new share may not be created from snapshot '{snapshot_id}', because the "
            "snapshot's parent share does not have that capability."
        )
    return msgspec.convert(row, Source)


def hold(conn: Connection, source: Source, share_type_id: str, zone_id: str | None) -> str | None:
    """Lock the snapshot's row, its network's row being locked; returns the id of its zone. Raises
    Invalid if type or zone differ, or it cannot be used."""
    if share_type_id != source.share_type_id:
        raise Invalid(
            "Invalid share type specified: the requested share type must match that of the "
            "snapshot's share."
        )
    if zone_id not in (None, source.availability_zone_id):
        raise Invalid("The specified availability zone must be that of the snapshot's share.")
    table = share_snapshot_instances
    status = conn.scalar(
        sa.select(table.c.status).where(table.c.id == source.instance_id).with_for_update()
    )
    if status != "available":
        raise Invalid(
            f"Invalid share snapshot: Snapshot {source.snapshot_id} must be available, it is "
            f"{status or 'gone'}."
        )
    if source.share_server_id is not None:
        server_status, _ = share_servers.status_of(conn, source.share_server_id)
        if server_status != "active":
            raise Invalid(
                f"Share server {source.share_server_id} of the snapshot's share is {server_status}."
            )
        if share_servers.all_drain(conn, source.share_server_id):
            raise Invalid(
                "All subnets of the share server of the snapshot's share drain: a new share there "
                "could not be reached. Cancel a drain, or add a subnet first."
            )
    return source.availability_zone_id
