"""Snapshots that are taken by the schedule of their share, and how the surplus of them goes.

Such a snapshot has the frequency in its metadata `snapshot_schedule`. Whoever takes that away keeps
the snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_snapshot_instances, share_snapshots
from abaca.domain.shares import shares
from abaca.domain.shares.schedules import SNAPSHOTS, Scheduled
from abaca.domain.snapshots import snapshots
from abaca.values import Caller


def take(
    conn: Connection, scheduled: Scheduled, quota_defaults: Mapping[str, int] | None = None
) -> None:
    """Have a snapshot taken whose time has come, and set the next time."""

    def make(conn: Connection, owner: Caller, share_id: str, name: str, frequency: str) -> str:
        taken = snapshots.create(
            conn,
            owner,
            share_id,
            name=name,
            metadata={SNAPSHOTS.key: frequency},
            quota_defaults=quota_defaults,
        )
        return str(taken["id"])

    SNAPSHOTS.take(conn, scheduled, make)


def delete_surplus(conn: Connection, scheduled: Scheduled) -> None:
    """Delete the oldest snapshots of a schedule beyond those that are kept."""
    shares.lock(conn, shares.ANYBODY, scheduled.share_id)
    of_share: sa.Select[Any] = (
        sa.select(
            share_snapshots.c.id,
            share_snapshots.c.created_at,
            share_snapshots.c.metadata,
            share_snapshot_instances.c.status,
        )
        .join(share_snapshot_instances)
        .where(share_snapshots.c.share_id == scheduled.share_id)
        .order_by(share_snapshots.c.created_at.desc(), share_snapshots.c.id)
    )
    of_schedule = [
        row
        for row in conn.execute(of_share).all()
        if row.metadata.get(SNAPSHOTS.key) == scheduled.frequency
    ]
    SNAPSHOTS.delete_surplus(conn, scheduled, of_schedule, snapshots.delete)
