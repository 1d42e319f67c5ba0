"""Checks before a subnet is added: how many addresses are free on it. Those of before do not
say."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0064"
down_revision = "0054"


def upgrade() -> None:
    with op.batch_alter_table("share_network_checks") as batch:
        batch.add_column(sa.Column("free_addresses", sa.Integer))


def downgrade() -> None:
    with op.batch_alter_table("share_network_checks") as batch:
        batch.drop_column("free_addresses")
