"""Services say how many of their share servers did not serve their clients at the last look."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column(
        "services",
        sa.Column("unserved_share_servers", sa.Integer, nullable=False, server_default="0"),
    )
    with op.batch_alter_table("services") as batch:
        batch.alter_column("unserved_share_servers", existing_type=sa.Integer, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("services") as batch:
        batch.drop_column("unserved_share_servers")
