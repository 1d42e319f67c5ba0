"""Pools count claims beyond 2 EiB: administrators extend shares by force, whatever room there
is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    with op.batch_alter_table("pools") as batch:
        batch.alter_column(
            "allocated_capacity_gb",
            existing_type=sa.Integer(),
            type_=sa.BigInteger(),
            existing_nullable=False,
        )


def downgrade() -> None:
    with op.batch_alter_table("pools") as batch:
        batch.alter_column(
            "allocated_capacity_gb",
            existing_type=sa.BigInteger(),
            type_=sa.Integer(),
            existing_nullable=False,
        )
