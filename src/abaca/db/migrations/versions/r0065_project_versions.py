"""A table for the versions of projects, by which open pages learn that something has changed. The
way back loses them: pages then ask anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0065"
down_revision = "0064"

_TABLE = "project_versions"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("slot", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "slot", name=f"pk_{_TABLE}"),
    )


def downgrade() -> None:
    op.drop_table(_TABLE)
