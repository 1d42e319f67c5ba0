"""Shares know on which subnets of their share server they are exported; those that are there: on
all. Going back exports them on all again, once their share servers are ensured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("shares", sa.Column("export_choice", sa.JSON))


def downgrade() -> None:
    with op.batch_alter_table("shares") as batch:
        batch.drop_column("export_choice")
