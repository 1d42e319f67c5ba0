"""Backups of shares: asking for one, reading, renaming, restoring, deleting. What operations read
and write: `backup_work`.

A share is `backup_creating` or `backup_restoring` while that goes on, and one of its backups
`creating` or `restoring`. A share that has backups is not deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4
from zlib import crc32

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import dicts, utcnow
from abaca.db.tables import (
    availability_zones,
    pools,
    share_backups,
    share_instances,
    share_snapshots,
)
from abaca.domain.capacity import quota_usages
from abaca.domain.rows import states
from abaca.domain.rows.listings import Listing, containing, equal
from abaca.domain.rows.states import Permit
from abaca.domain.share_servers import share_servers
from abaca.domain.shares import shares
from abaca.errors import Invalid, Missing
from abaca.values import Caller, Host
from abaca.workflow.queue import Work, enqueue

_SLOTS = 2
"""How many backups of a back end are worked on at once: each takes a slot of the worker for hours.
Those of one project wait for each other, and projects take turns."""


class Held(NamedTuple):
    """A backup and the share that work on it is about (as `shares.lock` returns it), both rows
    locked."""

    backup: sa.Row[Any]
    share: sa.Row[Any]


_VIEW = (
    sa.select(
        share_backups,
        share_backups.c.display_name.label("name"),
        share_backups.c.display_description.label("description"),
        availability_zones.c.name.label("availability_zone"),
    )
    .select_from(share_backups)
    .outerjoin(availability_zones, availability_zones.c.id == share_backups.c.availability_zone_id)
)


def _visible(caller: Caller, all_projects: bool) -> sa.Select[Any]:
    if all_projects and caller.is_admin:
        return _VIEW
    return _VIEW.where(share_backups.c.project_id == caller.project_id)


_TEXTS: dict[str, sa.ColumnElement[Any]] = {
    "name": share_backups.c.display_name,
    "description": share_backups.c.display_description,
}
_COLUMNS: dict[str, sa.ColumnElement[Any]] = _TEXTS | {
    name: share_backups.c[name] for name in ("status", "share_id", "backup_type")
}
LISTING = Listing(
    "Share backups",
    _visible,
    share_backups.c.id,
    conditions={**equal(_COLUMNS | {"topic": share_backups.c.topic}), **containing(_TEXTS)},
    # not by host and topic, which only administrators are shown: an order tells, too
    sort_keys=_COLUMNS
    | {
        name: share_backups.c[name]
        for name in ("id", "created_at", "updated_at", "size", "project_id")
    },
)


def create(
    conn: Connection,
    caller: Caller,
    share_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    backup_type: str | None = None,
    frequency: str | None = None,
    quota_defaults: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Store a backup in `creating` and have the share copied; returns its view. `frequency`: of the
    schedule by which it is made.

    Raises Invalid for a share that does not exist or is not available, that has snapshots or
    backups of another type, or whose back end keeps no backups; Forbidden for a soft-deleted one;
    OverQuota.
    """
    share = _share(conn, caller, share_id)
    shares.require_available(share)
    has_snapshots = sa.select(share_snapshots.c.id).where(
        share_snapshots.c.share_id == share_id, share_snapshots.c.deletion_deferred_at.is_(None)
    )
    if conn.scalar(has_snapshots.limit(1)) is not None:
        raise Invalid(f"Cannot backup share {share_id} while it has snapshots.")
    _require_type(conn, share, backup_type)
    _require_support(conn, share)
    quota_usages.claim(
        conn,
        share.project_id,
        caller.user_id,
        defaults=quota_defaults,
        backups=1,
        backup_gigabytes=share.size,
    )
    backup_id = str(uuid4())
    conn.execute(
        sa.insert(share_backups).values(
            id=backup_id,
            project_id=share.project_id,
            user_id=caller.user_id,
            share_id=share_id,
            size=share.size,
            status="creating",
            display_name=name,
            display_description=description,
            host=Host.parse(share.host).service,
            availability_zone_id=_zone_of(conn, share.instance_id),
            backup_type=backup_type,
            frequency=frequency,
            created_at=utcnow(),
        )
    )
    states.move(conn, states.SHARE, share.instance_id, "backup_creating")
    start(conn, "share_backup_create", _row(conn, backup_id), share)
    return get(conn, caller, backup_id)


def get(conn: Connection, caller: Caller, backup_id: str) -> dict[str, Any]:
    """One backup of the caller's project; any for an administrator."""
    found = dicts(conn.execute(_visible(caller, True).where(share_backups.c.id == backup_id)))
    if not found:
        raise _missing(backup_id)
    return found[0]


def update(
    conn: Connection, caller: Caller, backup_id: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """Change display_name, display_description."""
    get(conn, caller, backup_id)
    conn.execute(
        sa.update(share_backups)
        .where(share_backups.c.id == backup_id)
        .values(updated_at=utcnow(), **changes)
    )
    return get(conn, caller, backup_id)


def delete(conn: Connection, caller: Caller, backup_id: str) -> None:
    """Delete a backup, in the background. Raises Invalid in a status that does not permit it."""
    held = lock(conn, caller, backup_id)
    if not states.BACKUP.permits(held.backup.status, Permit.DELETE):
        permitting = ", ".join(states.BACKUP.permitted[Permit.DELETE])
        raise Invalid(
            f"Invalid backup: Backup {backup_id} must be {permitting}; it is {held.backup.status}."
        )
    start_deletion(conn, held)


def restore(
    conn: Connection, caller: Caller, backup_id: str, target_share_id: str | None = None
) -> dict[str, Any]:
    """Replace what a share holds by a backup, in the background: the share that it was made of, or
    another of the same project on the same back end. Returns the backup's view.

    Raises Invalid if the backup is not available, or the share neither available nor one that could
    not be restored before, too small, or elsewhere.
    """
    source_id = get(conn, caller, backup_id)["share_id"]
    target_id = target_share_id or source_id
    held = lock(conn, caller, backup_id, target_id)
    if held.backup.status != "available":
        raise Invalid(
            f"Invalid backup: Backup {backup_id} must be available to be restored; it is "
            f"{held.backup.status}."
        )
    shares.require_available(held.share, or_in="backup_restoring_error")
    if held.share.size < held.backup.size:
        raise Invalid(
            f"Share {target_id} has {held.share.size} GiB, fewer than the {held.backup.size} GiB "
            "of the share that was backed up; extend it first."
        )
    if (
        held.share.project_id != held.backup.project_id
        or Host.parse(held.share.host).service != held.backup.host
    ):
        raise Invalid(
            f"Backup {backup_id} cannot be restored into share {target_id}: a backup is restored "
            "within its project and on the back end that keeps it."
        )
    start_restoration(conn, held)
    return get(conn, caller, backup_id)


def reset_status(conn: Connection, caller: Caller, backup_id: str, status: str) -> None:
    """The administrator sets a status by hand."""
    known = states.statuses(states.BACKUP)
    if status not in known:
        raise Invalid(f"Invalid state. Valid states: {', '.join(known)}.")
    states.force(conn, states.BACKUP, lock(conn, caller, backup_id).backup.id, status)


# --- for requests, and for work that is resumed ---------------------------------------------------


def lock(conn: Connection, caller: Caller, backup_id: str, share_id: str | None = None) -> Held:
    """A backup of the caller's project with the share that it was made of, or with another one."""
    found = get(conn, caller, backup_id)
    share = _share(conn, caller, share_id or found["share_id"])
    return Held(_row(conn, backup_id), share)


def start_restoration(conn: Connection, held: Held) -> None:
    """Have a backup restored into the share that is held with it."""
    states.move(conn, states.SHARE, held.share.instance_id, "backup_restoring")
    states.move(
        conn,
        states.BACKUP,
        held.backup.id,
        "restoring",
        restore_share_id=held.share.id,
        restore_progress=0,
    )
    start(conn, "share_backup_restore", held.backup, held.share)


def start_deletion(conn: Connection, held: Held) -> None:
    """Have a backup deleted."""
    states.move(conn, states.BACKUP, held.backup.id, "deleting")
    start(conn, "share_backup_delete", held.backup, held.share)


def start(conn: Connection, workflow: str, backup: sa.Row[Any], share: sa.Row[Any]) -> None:
    """Enqueue `workflow(backup id, share instance id)` where the backup is kept."""
    key = f"backup:{backup.host}:{crc32(backup.project_id.encode()) % _SLOTS}"
    enqueue(
        conn,
        Work(
            name=workflow,
            worker_host=share_servers.worker_hosts(conn, {backup.host})[backup.host],
            project_id=backup.project_id,
            id=f"{workflow}:{backup.id}:{uuid4()}",
            key=key,
            args=(backup.id, share.instance_id),
            in_turn=True,
        ),
    )


def _share(conn: Connection, caller: Caller, share_id: str) -> sa.Row[Any]:
    """The share, locked; one that does not exist is a wrong argument, as the URL names a backup."""
    try:
        return shares.lock(conn, caller, share_id)
    except Missing:
        raise Invalid(f"No share exists with ID {share_id}.") from None


def _row(conn: Connection, backup_id: str) -> sa.Row[Any]:
    row = conn.execute(
        sa.select(share_backups).where(share_backups.c.id == backup_id).with_for_update()
    ).one_or_none()
    if row is None:  # it went while its share's row was waited for
        raise _missing(backup_id)
    return row


def types_of(conn: Connection, share_id: str) -> Sequence[str | None]:
    """The type of a share's backups; empty if none stands. One share has backups of one type, as
    the first of them that stands was called."""
    query = (
        sa.select(share_backups.c.backup_type)
        .where(share_backups.c.share_id == share_id, share_backups.c.status != "error")
        .order_by(share_backups.c.created_at)
        .limit(1)
    )
    return conn.scalars(query).all()


def _require_type(conn: Connection, share: sa.Row[Any], backup_type: str | None) -> None:
    types = types_of(conn, share.id)
    if types and backup_type not in types:
        raise Invalid(
            f"Share {share.id} has existing backups with backup_type: '{types[0]}'. You "
            "must delete these backups to schedule a backup with a different backup_type, or "
            "re-use the same backup_type."
        )


def _require_support(conn: Connection, share: sa.Row[Any]) -> None:
    stats = conn.scalar(sa.select(pools.c.stats).where(pools.c.host == share.host))
    if not (stats or {}).get("capabilities", {}).get("backup_support"):
        raise Invalid(f"Invalid share: the back end of share {share.id} keeps no backups.")


def _zone_of(conn: Connection, instance_id: str) -> str | None:
    return conn.scalar(
        sa.select(share_instances.c.availability_zone_id).where(share_instances.c.id == instance_id)
    )


def _missing(backup_id: str) -> Missing:
    return Missing(f"Backup {backup_id} could not be found.")
