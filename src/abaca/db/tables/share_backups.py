"""Backups of shares: copies of their data that a back end keeps elsewhere."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, reference, timestamps, uuid_key

share_backups = sa.Table(
    "share_backups",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255)),
    reference("share_id", "shares"),
    sa.Column("size", sa.Integer, nullable=False),  # GiB: the share's when it was asked for
    sa.Column("status", sa.String(36), nullable=False, index=True),
    sa.Column("display_name", sa.String(255)),
    sa.Column("display_description", sa.String(255)),
    sa.Column("host", sa.String(255), nullable=False),  # host@backend
    sa.Column("topic", sa.String(255)),  # null until work on it has begun
    reference("availability_zone_id", "availability_zones", nullable=True),
    sa.Column("backup_type", sa.String(255)),  # as the caller calls it
    sa.Column("progress", sa.Integer, nullable=False, default=0),  # percent
    sa.Column("restore_progress", sa.Integer, nullable=False, default=0),  # percent
    # while it is restored: the share that gets the data
    sa.Column("restore_share_id", sa.String(36)),
    sa.Column("frequency", sa.String(16)),  # of the schedule by which it was made; null: none
    *timestamps(),
    sa.Index("ix_share_backups_project_id_created_at", "project_id", "created_at"),
)
