"""Rows of snapshots as drivers see them. Shares and share servers: `driver_values`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_instances, share_snapshot_instances, share_snapshots
from abaca.db.tables import shares as shares_table
from abaca.domain.driver_views import driver_values
from abaca.domain.rows import states
from abaca.domain.rows.states import Permit
from abaca.domain.shares import export_locations
from abaca.domain.shares import share_instances as instances
from abaca.domain.snapshots import snapshot_access_states
from abaca.errors import Refused
from abaca.values import AccessRule, Snapshot, Value

_IS_MEMBER = share_snapshots.c.share_group_snapshot_id.is_not(None)
# Members of group snapshots are not mounted: nobody could ask where they are exported.
_IS_MOUNTABLE = sa.and_(shares_table.c.mount_snapshot_support.is_(True), ~_IS_MEMBER)


class SnapshotState(Value):
    """Where the share of a snapshot is: `host` is host@backend#pool. Stored as a step's result."""

    host: str
    share_instance_id: str
    server_id: str


def snapshot_state(conn: Connection, instance_id: str) -> SnapshotState | None:
    """None if the snapshot instance does not exist."""
    row = conn.execute(
        sa.select(share_instances.c.host, share_instances.c.id, share_instances.c.share_server_id)
        .join(
            share_snapshot_instances,
            share_snapshot_instances.c.share_instance_id == share_instances.c.id,
        )
        .where(share_snapshot_instances.c.id == instance_id)
    ).one_or_none()
    return row and SnapshotState(
        host=row.host or "", share_instance_id=row.id, server_id=row.share_server_id or ""
    )


def snapshot(conn: Connection, instance_id: str) -> Snapshot:
    """A snapshot as drivers see it. Raises Refused if it does not exist."""
    found = snapshots(conn, share_snapshot_instances.c.id == instance_id)
    if not found:
        raise Refused(f"The snapshot instance {instance_id} is gone.", is_public=True)
    return found[0]


def of_group_snapshot(conn: Connection, group_snapshot_id: str) -> list[Snapshot]:
    """The members of a group snapshot."""
    return snapshots(conn, share_snapshots.c.share_group_snapshot_id == group_snapshot_id)


def source_of_share(conn: Connection, snapshot_id: str) -> Snapshot:
    """The snapshot that a share is made from. Raises Refused if it does not exist."""
    found = snapshots(conn, share_snapshot_instances.c.snapshot_id == snapshot_id)
    if not found:
        raise Refused(
            f"The snapshot {snapshot_id} that the share was to be made from is gone.",
            is_public=True,
        )
    return found[0]


def mountable_ids(conn: Connection, instance_id: str) -> list[str]:
    """The snapshot instances of a share that clients may mount, the oldest first."""
    table = share_snapshot_instances
    complete = table.c.status.in_(states.SNAPSHOT.permitted[Permit.HAS_ALL_DATA])
    return list(
        conn.scalars(
            sa.select(table.c.id)
            .join(share_snapshots, share_snapshots.c.id == table.c.snapshot_id)
            .where(table.c.share_instance_id == instance_id, complete, ~_IS_MEMBER)
            .order_by(table.c.created_at, table.c.id)
        )
    )


def of_server(conn: Connection, share_server_id: str) -> list[Snapshot]:
    """The snapshots of the shares on a server, the oldest first, without those that are being
    deleted."""
    return of_servers(conn, [share_server_id])


def of_servers(conn: Connection, share_server_ids: Collection[str]) -> list[Snapshot]:
    """The same for several servers together."""
    return _of_shares(conn, share_instances.c.share_server_id.in_(share_server_ids))


def of_back_end(conn: Connection, service_host: str) -> list[Snapshot]:
    """The same of a back end (host@backend) without share servers."""
    return _of_shares(conn, instances.without_server_on(service_host))


def snapshots(conn: Connection, condition: Any) -> list[Snapshot]:
    """The snapshots that match, the oldest first, in six statements (one if there are none).

    The access rules of a share apply, read-only, to its mountable snapshots, unless these have only
    rules of their own (see `snapshot_access`).
    """
    table = share_snapshot_instances
    rows = conn.execute(
        sa.select(
            table,
            share_snapshots.c.size,
            _IS_MOUNTABLE.label("is_mountable"),
            shares_table.c.snapshot_inherit_share_access_support,
        )
        .join(share_snapshots, share_snapshots.c.id == table.c.snapshot_id)
        .join(shares_table, shares_table.c.id == share_snapshots.c.share_id)
        .where(condition)
        .order_by(table.c.created_at, table.c.id)
    ).all()
    if not rows:
        return []
    shares = {
        share.id: share
        for share in driver_values.shares(
            conn, share_instances.c.id.in_({row.share_instance_id for row in rows})
        )
    }
    locations = export_locations.by_snapshot_instance(conn, [row.id for row in rows])
    own = snapshot_access_states.granted(conn, [row.id for row in rows])
    return [
        Snapshot(
            id=row.id,
            snapshot_id=row.snapshot_id,
            share=shares[row.share_instance_id],
            size=row.size,
            is_mountable=bool(row.is_mountable),
            is_complete=row.size > 0 and states.SNAPSHOT.permits(row.status, Permit.HAS_ALL_DATA),
            access_rules=_holding(
                row, shares[row.share_instance_id].access_rules, own.get(row.id, [])
            ),
            export_locations=driver_values.locations_of(locations[row.id]),
            provider_location=row.provider_location,
        )
        for row in rows
    ]


def _of_shares(conn: Connection, condition: sa.ColumnElement[bool]) -> list[Snapshot]:
    """The snapshots of the share instances that match, without those that are being deleted, and
    those that were never taken over, whatever has become of their status since: by their ids the
    back end may have anything."""
    here = sa.select(share_instances.c.id).where(condition)
    on_it = share_snapshot_instances.c.status.in_(states.SNAPSHOT.permitted[Permit.IS_ON_SERVER])
    there = on_it & (share_snapshots.c.size > 0) & share_snapshots.c.deletion_deferred_at.is_(None)
    return snapshots(conn, share_snapshot_instances.c.share_instance_id.in_(here) & there)


def _holding(
    row: sa.Row[Any], of_share: list[AccessRule], own: list[AccessRule]
) -> list[AccessRule]:
    """The rules that hold for a snapshot. Of two for the same target its own is taken: its state is
    what the driver says of it."""
    if not row.is_mountable:
        return []
    if row.snapshot_inherit_share_access_support is False:
        return own
    taken = {(rule.access_type, rule.access_to) for rule in own}
    return own + [
        msgspec.structs.replace(rule, access_level="ro")
        for rule in of_share
        if (rule.access_type, rule.access_to) not in taken
    ]
