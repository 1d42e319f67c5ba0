"""Share network subnets drain: since when, until when and what happens then, and on which share
servers new clients are refused. Those that are there do not; going back ends every drain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

_SUBNETS, _MAPPINGS = "share_network_subnets", "share_server_share_network_subnet_mappings"
_COLUMNS = ("removal_started_at", "removal_deadline", "removal_at_deadline", "removal_obstacle")
_REFUSES = "refuses_new_clients"


def upgrade() -> None:
    with op.batch_alter_table(_SUBNETS) as table:
        table.add_column(sa.Column("removal_started_at", sa.DateTime))
        table.add_column(sa.Column("removal_deadline", sa.DateTime))
        table.add_column(sa.Column("removal_at_deadline", sa.String(16)))
        table.add_column(sa.Column("removal_obstacle", sa.String(1023)))
    with op.batch_alter_table(_MAPPINGS) as table:
        table.add_column(sa.Column(_REFUSES, sa.Boolean, nullable=False, server_default=sa.false()))
    with op.batch_alter_table(_MAPPINGS) as table:
        table.alter_column(_REFUSES, existing_type=sa.Boolean, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table(_MAPPINGS) as table:
        table.drop_column(_REFUSES)
    with op.batch_alter_table(_SUBNETS) as table:
        for name in reversed(_COLUMNS):
            table.drop_column(name)
