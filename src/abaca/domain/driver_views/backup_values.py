"""Rows of backups as drivers see them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_backups, share_instances
from abaca.errors import Refused
from abaca.values import Backup, Value


class BackupState(Value):
    """Where work on a backup goes on: `host` is the host@backend that keeps it, `server_id` the
    share server of the share instance, empty without one. `began`: seconds since 1970. Stored as a
    step's result."""

    host: str
    server_id: str
    began: float


def backup_state(
    conn: Connection, backup_id: str, instance_id: str, began: float
) -> BackupState | None:
    """None if the backup or the share instance does not exist."""
    row = conn.execute(
        sa.select(share_backups.c.host, share_instances.c.share_server_id)
        .select_from(share_backups)
        .join(share_instances, share_instances.c.id == instance_id)
        .where(share_backups.c.id == backup_id)
    ).one_or_none()
    return row and BackupState(host=row.host, server_id=row.share_server_id or "", began=began)


def backup(conn: Connection, backup_id: str) -> Backup:
    """A backup as drivers see it. Raises Refused if it does not exist."""
    row = conn.execute(
        sa.select(share_backups).where(share_backups.c.id == backup_id)
    ).one_or_none()
    if row is None:
        raise Refused(f"The backup {backup_id} is gone.", is_public=True)
    return Backup(id=row.id, share_id=row.share_id, project_id=row.project_id, size=row.size)
