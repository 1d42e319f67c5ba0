"""Backups that are made by the schedule of their share, and how the surplus of them goes. Such a
backup has the frequency in a column that nobody sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_backups
from abaca.domain.backups import share_backups as backups
from abaca.domain.shares import shares
from abaca.domain.shares.schedules import BACKUPS, Scheduled
from abaca.values import Caller


def take(
    conn: Connection, scheduled: Scheduled, quota_defaults: Mapping[str, int] | None = None
) -> None:
    """Have a backup made whose time has come, of the type that those of its share have, and set the
    next time."""

    def make(conn: Connection, owner: Caller, share_id: str, name: str, frequency: str) -> str:
        made = backups.create(
            conn,
            owner,
            share_id,
            name=name,
            backup_type=next(iter(backups.types_of(conn, share_id)), None),
            frequency=frequency,
            quota_defaults=quota_defaults,
        )
        return str(made["id"])

    BACKUPS.take(conn, scheduled, make)


def delete_surplus(conn: Connection, scheduled: Scheduled) -> None:
    """Delete the oldest backups of a schedule beyond those that are kept."""
    shares.lock(conn, shares.ANYBODY, scheduled.share_id)
    of_schedule: sa.Select[Any] = (
        sa.select(share_backups.c.id, share_backups.c.created_at, share_backups.c.status)
        .where(
            share_backups.c.share_id == scheduled.share_id,
            share_backups.c.frequency == scheduled.frequency,
        )
        .order_by(share_backups.c.created_at.desc(), share_backups.c.id)
    )
    BACKUPS.delete_surplus(conn, scheduled, conn.execute(of_schedule).all(), backups.delete)
