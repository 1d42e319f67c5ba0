"""When the next snapshot of a share is taken by itself: one row a share and frequency."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata

snapshot_schedules = sa.Table(
    "snapshot_schedules",
    metadata,
    sa.Column(
        "share_id", sa.String(36), sa.ForeignKey("shares.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("frequency", sa.String(16), primary_key=True),
    sa.Column("kept", sa.Integer, nullable=False),
    sa.Column("minute", sa.Integer),  # of the day, UTC
    sa.Column("next_at", sa.DateTime, nullable=False, index=True),
    # the snapshot that was taken last, until the surplus of older ones is deleted
    sa.Column("newest_snapshot_id", sa.String(36)),
)
