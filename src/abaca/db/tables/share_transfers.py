"""Offers to hand a share over to another project. A row goes when the offer is accepted, withdrawn
or over."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, timestamps, uuid_key

share_transfers = sa.Table(
    "share_transfers",
    metadata,
    uuid_key(),
    sa.Column(
        "share_id",
        sa.String(36),
        sa.ForeignKey("shares.id", ondelete="CASCADE"),
        nullable=False,
        unique=True,
    ),
    sa.Column("display_name", sa.String(255)),
    sa.Column("source_project_id", sa.String(255), nullable=False, index=True),
    # HMAC-SHA256 of the key, by the salt; the key itself is stored nowhere
    sa.Column("salt", sa.String(64), nullable=False),
    sa.Column("key_hash", sa.String(64), nullable=False),
    sa.Column("wrong_keys", sa.Integer, nullable=False, default=0),
    sa.Column("expires_at", sa.DateTime, nullable=False, index=True),
    *timestamps(),
)
