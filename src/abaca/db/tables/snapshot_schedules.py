"""When the next snapshot or backup of a share is made by itself: one row a share and frequency."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata


def _schedules(what: str) -> sa.Table:
    return sa.Table(
        f"{what}_schedules",
        metadata,
        sa.Column(
            "share_id",
            sa.String(36),
            sa.ForeignKey("shares.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("frequency", sa.String(16), primary_key=True),
        sa.Column("kept", sa.Integer, nullable=False),
        sa.Column("minute", sa.Integer),  # of the day, UTC
        sa.Column("next_at", sa.DateTime, nullable=False, index=True),
        # the one that was made last, until the surplus of older ones is deleted
        sa.Column(f"newest_{what}_id", sa.String(36)),
    )


snapshot_schedules = _schedules("snapshot")
backup_schedules = _schedules("backup")
