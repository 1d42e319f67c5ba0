"""User messages: why an asynchronous operation failed, for the project that requested it."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, uuid_key

messages = sa.Table(
    "messages",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("request_id", sa.String(255)),
    sa.Column("resource_type", sa.String(255)),
    sa.Column("resource_id", sa.String(36), index=True),
    sa.Column("action_id", sa.String(10), nullable=False),
    sa.Column("detail_id", sa.String(10)),
    sa.Column("message_level", sa.String(32), nullable=False),
    sa.Column("user_message", sa.String(1023), nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("expires_at", sa.DateTime, nullable=False),
)
