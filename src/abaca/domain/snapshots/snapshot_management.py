"""Managing snapshots of shares that are on a back end and unknown to Abaca, and unmanaging them.

On the back end, a snapshot that Abaca made is named after the id at the end of its provider
location, and gets that id back. Its size is 0 until it has been taken over, and until then nothing
is done with what that id stands for there, which may be anything. It counts as a snapshot from the
beginning, and with its gigabytes once they are known, whatever the quotas.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import share_instances, share_snapshot_instances, share_snapshots
from abaca.db.tables import shares as shares_table
from abaca.domain.capacity import quota_usages
from abaca.domain.rows import messages, states
from abaca.domain.rows.states import Permit
from abaca.domain.shares import share_management, shares
from abaca.domain.snapshots import share_snapshot_instances as instances
from abaca.domain.snapshots import snapshots
from abaca.errors import Conflict, Forbidden
from abaca.values import Caller, ManagedSnapshot, SnapshotUpdate, Value


class SnapshotToManage(Value):
    """A snapshot as an administrator describes it."""

    share_id: str
    provider_location: str
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] = {}
    driver_options: dict[str, str] = {}


def manage(conn: Connection, caller: Caller, wanted: SnapshotToManage) -> dict[str, Any]:
    """Store the snapshot in `manage_starting` and have it taken over; returns its view. Raises
    Missing for the share; Forbidden if it is soft-deleted, Invalid if it is not available; Conflict
    if the location is known already."""
    share = shares.lock(conn, caller, wanted.share_id)
    shares.require_available(share)
    instance_id = share_management.id_for(wanted.provider_location)
    _require_unknown(conn, share, wanted.provider_location, instance_id)
    quota_usages.claim(
        conn, share.project_id, caller.user_id, share.share_type_id, defaults=None, snapshots=1
    )
    snapshot_id, now = str(uuid4()), utcnow()
    metadata = {
        key: wanted.metadata[key] for key in wanted.metadata.keys() - {snapshots.MANAGED_AT}
    }
    conn.execute(
        sa.insert(share_snapshots).values(
            id=snapshot_id,
            project_id=share.project_id,
            user_id=caller.user_id,
            share_id=share.id,
            size=0,
            share_proto=share.share_proto,
            display_name=wanted.name,
            display_description=wanted.description,
            metadata=metadata,
            created_at=now,
        )
    )
    conn.execute(
        sa.insert(share_snapshot_instances).values(
            id=instance_id,
            snapshot_id=snapshot_id,
            share_instance_id=share.instance_id,
            status="manage_starting",
            provider_location=wanted.provider_location,
            created_at=now,
        )
    )
    options = msgspec.json.encode(wanted.driver_options).decode()
    shares.start(conn, "snapshot_manage", share, instance_id, options)
    return snapshots.get(conn, caller, snapshot_id)


def unmanage(conn: Connection, caller: Caller, snapshot_id: str, *, on_servers: bool) -> None:
    """Unmanage a snapshot, in the background. Raises Forbidden in a status that does not permit it,
    and for one on a share server unless `on_servers`; Invalid while a share is being made from
    it."""
    held = snapshots.lock(conn, caller, snapshot_id)
    if not states.SNAPSHOT.permits(held.snapshot.status, Permit.UNMANAGE):
        permitting = ", ".join(states.SNAPSHOT.permitted[Permit.UNMANAGE])
        raise Forbidden(
            f"Invalid share snapshot: snapshot {snapshot_id} is {held.snapshot.status}; its status "
            f"must be one of {permitting}."
        )
    if held.share.share_server_id is not None and not on_servers:
        raise Forbidden(
            f"Snapshot {snapshot_id} is on a share server: unmanaging it needs microversion 2.49 "
            "or newer."
        )
    snapshots.require_not_being_copied(conn, snapshot_id)
    _start_unmanaging(conn, held)


# --- for operations -------------------------------------------------------------------------------


def managed(conn: Connection, instance_id: str, found: ManagedSnapshot) -> None:
    """The snapshot was taken over: its size counts, and it is available; a status that an
    administrator has set meanwhile stays."""
    row = instances.locked(conn, instance_id)
    if row is None:
        return
    if row.size == 0:
        size = (
            found.size
            or conn.execute(
                sa.select(shares_table.c.size).where(shares_table.c.id == row.share_id)
            ).scalar_one()
        )
        quota_usages.claim(
            conn,
            row.project_id,
            row.user_id,
            row.share_type_id,
            defaults=None,
            snapshot_gigabytes=size,
        )
        now = utcnow()
        conn.execute(
            sa.update(share_snapshots)
            .where(share_snapshots.c.id == row.id)
            .values(
                size=size,
                metadata=row.metadata | {snapshots.MANAGED_AT: str(now)},
                updated_at=now,
            )
        )
    update = SnapshotUpdate(
        provider_location=found.provider_location, export_locations=found.export_locations
    )
    instances.created(conn, instance_id, update)


def fail_managing(
    conn: Connection, _share_instance_id: str, instance_id: str, _options: str, reason: str
) -> None:
    """The snapshot could not be taken over; it may be unmanaged."""
    instances.fail(conn, instance_id, "manage_error", messages.Action.UPDATE, reason)


def fail_unmanaging(
    conn: Connection, _share_instance_id: str, instance_id: str, reason: str
) -> None:
    """The snapshot could not be unmanaged."""
    instances.fail(conn, instance_id, "unmanage_error", messages.Action.UPDATE, reason)


def resume_managing(
    conn: Connection, _share_instance_id: str, instance_id: str, options: str
) -> None:
    """The snapshot is `manage_starting` again."""
    held = _again(conn, instance_id, "manage_error")
    states.move(conn, states.SNAPSHOT, instance_id, "manage_starting")
    shares.start(conn, "snapshot_manage", held.share, instance_id, options)


def resume_unmanaging(conn: Connection, _share_instance_id: str, instance_id: str) -> None:
    """The snapshot is `unmanage_starting` again."""
    _start_unmanaging(conn, _again(conn, instance_id, "unmanage_error"))


def _start_unmanaging(conn: Connection, held: snapshots.Held) -> None:
    states.move(conn, states.SNAPSHOT, held.snapshot.instance_id, "unmanage_starting")
    shares.start(conn, "snapshot_unmanage", held.share, held.snapshot.instance_id)


def _again(conn: Connection, instance_id: str, status: str) -> snapshots.Held:
    held = snapshots.lock_instance(conn, instance_id)
    if held is None or held.snapshot.status != status:
        raise Conflict(
            f"The snapshot instance {instance_id} is {held.snapshot.status if held else 'gone'}, "
            f"no longer {status}; the operation cannot be resumed."
        )
    return held


def _require_unknown(conn: Connection, share: sa.Row[Any], location: str, instance_id: str) -> None:
    """Raises Conflict if a snapshot of the share has the location, or anything the id."""
    table = share_snapshot_instances
    here = (table.c.share_instance_id == share.instance_id) & (
        table.c.provider_location == location
    )
    known = conn.scalar(
        sa.select(table.c.snapshot_id).where(here | (table.c.id == instance_id)).limit(1)
    ) or conn.scalar(
        sa.select(share_instances.c.share_id).where(share_instances.c.id == instance_id)
    )
    if known is not None:
        raise Conflict(
            "Manage existing share snapshot failed due to invalid share snapshot: A share snapshot "
            f"{known} is already managed for provider location {location}."
        )
