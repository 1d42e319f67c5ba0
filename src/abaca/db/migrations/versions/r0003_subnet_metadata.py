"""Share network subnets have metadata."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("share_network_subnets", sa.Column("metadata", sa.JSON))
    op.execute(sa.text("UPDATE share_network_subnets SET metadata = '{}'"))
    with op.batch_alter_table("share_network_subnets") as batch:
        batch.alter_column("metadata", existing_type=sa.JSON, nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("share_network_subnets") as batch:
        batch.drop_column("metadata")
