"""Snapshot instances: what a back end holds of a snapshot. For administrators, and for operations.

A snapshot has one, until replicas exist. Requests about snapshots are in `snapshots`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import dicts
from abaca.db.tables import share_instances as share_instances_table
from abaca.db.tables import share_snapshot_instances, share_snapshots
from abaca.domain.rows import messages, states
from abaca.domain.rows.listings import Listing, equal
from abaca.domain.shares import export_locations, share_instances
from abaca.domain.snapshots import snapshots
from abaca.errors import Missing
from abaca.values import ServerUpdate, SnapshotUpdate

_LOG = logging.getLogger(__name__)

_SELECT = (
    sa.select(
        share_snapshot_instances,
        share_snapshots.c.share_id,
        sa.case((share_snapshot_instances.c.status == "available", "100%"), else_="0%").label(
            "progress"
        ),
    )
    .join(share_snapshots, share_snapshots.c.id == share_snapshot_instances.c.snapshot_id)
    .where(share_snapshots.c.share_group_snapshot_id.is_(None))  # members of group snapshots
)

LISTING = Listing(
    "Snapshot instances",
    lambda _caller, _all_projects: _SELECT,
    share_snapshot_instances.c.id,
    conditions=equal({"snapshot_id": share_snapshot_instances.c.snapshot_id}),
    sort_keys={
        name: share_snapshot_instances.c[name]
        for name in ("id", "created_at", "updated_at", "snapshot_id", "status")
    },
)
"""Snapshot instances of all projects, for administrators; found in one statement."""


def get(conn: Connection, instance_id: str) -> dict[str, Any]:
    """One snapshot instance: its columns, share_id and progress."""
    one = _SELECT.where(share_snapshot_instances.c.id == instance_id)
    found = dicts(conn.execute(one))
    if not found:
        raise _missing(instance_id)
    return found[0]


def reset_status(conn: Connection, instance_id: str, status: str) -> None:
    """The administrator sets a status by hand."""
    states.require_settable(status)
    row = locked(conn, instance_id)
    if row is None or row.share_group_snapshot_id is not None:
        raise _missing(instance_id)
    snapshots.require_taken_over(row)
    share_instances.require_not_given_up(f"snapshot {row.id}", row)
    states.force(conn, states.SNAPSHOT, instance_id, status)


# --- for operations -------------------------------------------------------------------------------


def created(conn: Connection, instance_id: str, taken: SnapshotUpdate) -> None:
    """The snapshot exists."""
    row = locked(conn, instance_id)
    if row is not None:
        changed(conn, instance_id, taken)
        settle(conn, row, "available")


def changed(conn: Connection, instance_id: str, update: SnapshotUpdate) -> None:
    """Store what the driver reports about it. Does nothing if it no longer exists."""
    if locked(conn, instance_id) is None:
        return
    if update.provider_location is not None:
        table = share_snapshot_instances
        conn.execute(
            sa.update(table)
            .where(table.c.id == instance_id)
            .values(provider_location=update.provider_location[:255])
        )
    if update.export_locations is not None:
        export_locations.replace_of_snapshot(conn, instance_id, update.export_locations)


def moved(conn: Connection, update: ServerUpdate) -> None:
    """Store where a driver says that shares and snapshots are reached now."""
    for instance_id, share in update.share_updates.items():
        if share.export_locations is not None:
            export_locations.replace(conn, instance_id, share.export_locations)
    for instance_id, snapshot in update.snapshot_updates.items():
        changed(conn, instance_id, snapshot)


def reverted(conn: Connection, share_instance_id: str, instance_id: str, size: int) -> None:
    """The share has the data and the size of the snapshot."""
    share_instances.resized(conn, share_instance_id, size)
    released(conn, instance_id)


def released(conn: Connection, instance_id: str) -> None:
    """The work that used the snapshot has ended, successfully or not."""
    row = locked(conn, instance_id)
    if row is not None:
        settle(conn, row, "available")


def remove(conn: Connection, instance_id: str) -> None:
    """Delete the snapshot's rows and release its quotas. Does nothing if there are none."""
    row = locked(conn, instance_id)
    if row is not None:
        if row.deletion_deferred_at is None:
            snapshots.release(conn, row, row.share_type_id)
        conn.execute(sa.delete(share_snapshots).where(share_snapshots.c.id == row.id))


def due_again(conn: Connection, service_hosts: Collection[str]) -> list[str]:
    """The instances on these back ends whose deferred deletion has failed."""
    table = share_snapshot_instances
    query = (
        sa.select(table.c.id)
        .join(share_instances_table, table.c.share_instance_id == share_instances_table.c.id)
        .where(
            table.c.status == "error_deferred_deleting",
            share_instances.on_back_ends(service_hosts),
        )
    )
    return list(conn.scalars(query.order_by(table.c.updated_at)))


def fail_deletion(conn: Connection, instance_id: str, reason: str) -> None:
    """As `share_instances.fail_deletion`."""
    row = locked(conn, instance_id)
    if row is None or row.deletion_deferred_at is None:
        fail(conn, instance_id, "error_deleting", messages.Action.DELETE, reason)
        return
    _LOG.warning("the deferred deletion of snapshot %s failed: %s", row.id, reason)
    settle(conn, row, "error_deferred_deleting")


def fail(
    conn: Connection, instance_id: str, status: str, action: messages.Action, reason: str
) -> None:
    """Set the status after a failure, with a message to the project. Does nothing if it no longer
    exists."""
    row = locked(conn, instance_id)
    if row is not None:
        settle(conn, row, status)
        messages.create(
            conn,
            project_id=row.project_id,
            resource_type="SHARE_SNAPSHOT",
            resource_id=row.id,
            action=action,
            text=reason,
        )


def settle(conn: Connection, row: sa.Row[Any], status: str) -> None:
    """Set the final status of work; a status that an administrator or a forced deletion has set
    meanwhile stays."""
    if states.may_follow(states.SNAPSHOT, row.status, status):
        states.move(conn, states.SNAPSHOT, row.instance_id, status)


def locked(conn: Connection, instance_id: str) -> sa.Row[Any] | None:
    """Locks the share's row first, as requests do."""
    table = share_snapshot_instances
    owner = conn.execute(
        sa.select(share_instances_table.c.share_type_id)
        .join(table, table.c.share_instance_id == share_instances_table.c.id)
        .where(table.c.id == instance_id)
        .with_for_update(of=share_instances_table)
    ).one_or_none()
    if owner is None:
        return None
    return conn.execute(
        sa.select(
            share_snapshots,
            table.c.id.label("instance_id"),
            table.c.status,
            sa.literal(owner.share_type_id).label("share_type_id"),
        )
        .join(table, table.c.snapshot_id == share_snapshots.c.id)
        .where(table.c.id == instance_id)
        .with_for_update()
    ).one_or_none()


def _missing(instance_id: str) -> Missing:
    return Missing(f"Snapshot instance {instance_id} could not be found.")
