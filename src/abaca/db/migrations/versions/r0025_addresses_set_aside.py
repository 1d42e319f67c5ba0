"""Addresses of local subnets that are given to nobody for a while, because other machines use
them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

_TABLE = "local_addresses_set_aside"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("subnet_id", sa.String(36), nullable=False),
        sa.Column("ip_address", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("subnet_id", "ip_address", name=f"pk_{_TABLE}"),
        sa.ForeignKeyConstraint(
            ["subnet_id"], ["local_subnets.id"], name=f"fk_{_TABLE}_subnet_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table(_TABLE)
