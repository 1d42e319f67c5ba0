"""Shares can be offered to other projects. Going back withdraws what is offered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0038"

_TABLE = "share_transfers"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("share_id", sa.String(36), nullable=False),
        sa.Column("display_name", sa.String(255)),
        sa.Column("source_project_id", sa.String(255), nullable=False),
        sa.Column("salt", sa.String(64), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("wrong_keys", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name=f"pk_{_TABLE}"),
        sa.UniqueConstraint("share_id", name=f"uq_{_TABLE}_share_id"),
        sa.ForeignKeyConstraint(
            ["share_id"], ["shares.id"], name=f"fk_{_TABLE}_share_id", ondelete="CASCADE"
        ),
    )
    for column in ("source_project_id", "expires_at"):
        op.create_index(f"ix_{_TABLE}_{column}", _TABLE, [column])


def downgrade() -> None:
    op.drop_table(_TABLE)
    op.execute("UPDATE share_instances SET status = 'available' WHERE status = 'awaiting_transfer'")
