"""Share network subnets know the physical network that theirs is on. Those that are there were
never on one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("share_network_subnets", sa.Column("physical_network", sa.String(255)))


def downgrade() -> None:
    with op.batch_alter_table("share_network_subnets") as batch:
        batch.drop_column("physical_network")
