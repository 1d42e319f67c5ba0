"""What operations read and write about a backup. Requests: `share_backups`."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row, utcnow
from abaca.db.tables import share_backups, share_instances
from abaca.domain.capacity import quota_usages
from abaca.domain.rows import messages, states
from abaca.domain.shares import share_instances as instances
from abaca.errors import Refused

_TOPIC = "manila-share"


def begun(conn: Connection, backup_id: str, column: str) -> None:
    """Work on it has begun: its progress (`progress` or `restore_progress`) is 0 again."""
    conn.execute(
        sa.update(share_backups)
        .where(share_backups.c.id == backup_id)
        .values({"topic": _TOPIC, column: 0})
    )


def progressed(
    conn: Connection, backup_id: str, column: str, percent: int, seconds: float, most: float
) -> None:
    """Store the progress of work that has taken so many seconds. Raises Refused when that is more
    than it may take, or when an administrator has ended it by setting another status."""
    wanted = "creating" if column == "progress" else "restoring"
    row = lock_row(conn, share_backups, backup_id)
    if row is None or row.status != wanted:
        raise Refused(
            f"The status of the backup was changed while it was {wanted}.", is_public=True
        )
    if seconds > most:
        raise Refused(
            f"It did not end within {most / 3600:g} hours, the longest that it may take.",
            is_public=True,
        )
    conn.execute(
        sa.update(share_backups)
        .where(share_backups.c.id == backup_id)
        .values({column: min(max(percent, 0), 100), "updated_at": utcnow()})
    )


def created(conn: Connection, backup_id: str, instance_id: str) -> None:
    """The copy is whole."""
    _settle_share(conn, instance_id, "available")
    _settle(conn, backup_id, "available", progress=100)


def not_created(conn: Connection, backup_id: str, instance_id: str, reason: str) -> None:
    """There is no copy; the share is what it was."""
    _settle_share(conn, instance_id, "available")
    _settle(conn, backup_id, "error")
    _tell(conn, backup_id, messages.Action.CREATE, reason)


def restored(conn: Connection, backup_id: str, instance_id: str) -> None:
    """The share holds what the backup does."""
    _settle_share(conn, instance_id, "available")
    _settle(conn, backup_id, "available", restore_progress=100, restore_share_id=None)


def not_restored(conn: Connection, backup_id: str, instance_id: str, reason: str) -> None:
    """The share holds what it did, or what the backup does; the backup may be restored again."""
    _settle_share(conn, instance_id, "backup_restoring_error")
    _settle(conn, backup_id, "available", restore_share_id=None)
    _tell(conn, backup_id, messages.Action.UPDATE, reason)


def remove(conn: Connection, backup_id: str) -> None:
    """Delete the backup's row and release its quotas. Does nothing if there is none."""
    row = lock_row(conn, share_backups, backup_id)
    if row is not None:
        quota_usages.release(
            conn, row.project_id, row.user_id, backups=1, backup_gigabytes=row.size
        )
        conn.execute(sa.delete(share_backups).where(share_backups.c.id == backup_id))


def not_deleted(conn: Connection, backup_id: str, reason: str) -> None:
    """What is left of it can be deleted again."""
    _settle(conn, backup_id, "error_deleting")
    _tell(conn, backup_id, messages.Action.DELETE, reason)


def _settle(conn: Connection, backup_id: str, status: str, **changes: object) -> None:
    """Set the final status of work; one that an administrator has set meanwhile stays."""
    row = lock_row(conn, share_backups, backup_id)
    if row is not None and states.may_follow(states.BACKUP, row.status, status):
        states.move(conn, states.BACKUP, backup_id, status, **changes)


def _settle_share(conn: Connection, instance_id: str, status: str) -> None:
    """The same for the share, whose row is locked first, as requests do."""
    row = lock_row(conn, share_instances, instance_id)
    if row is not None and row.status in ("backup_creating", "backup_restoring"):
        states.move(conn, states.SHARE, instance_id, status)
        instances.show_change(conn, [row.share_id])


def _tell(conn: Connection, backup_id: str, action: messages.Action, reason: str) -> None:
    row = lock_row(conn, share_backups, backup_id)
    if row is not None:
        messages.create(
            conn,
            project_id=row.project_id,
            resource_type="SHARE_BACKUP",
            resource_id=backup_id,
            action=action,
            text=reason,
        )
