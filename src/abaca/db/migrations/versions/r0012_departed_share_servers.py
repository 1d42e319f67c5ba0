"""Share servers that were deleted, until nothing can be left of their addresses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "departed_share_servers",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("departed_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_departed_share_servers"),
    )


def downgrade() -> None:
    op.drop_table("departed_share_servers")
