"""Share servers in use can give subnets up: columns for who supports it, and what is leaving.

Servers that are there do not support it until an administrator says so. After a downgrade a server
whose removal failed serves the subnet on, or, where its back end had let go of it already, waits as
if it could not be given that subnet.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

_COLUMNS = (
    ("services", "share_server_subnet_removal_support"),
    ("share_servers", "share_server_subnet_removal_support"),
    ("share_server_share_network_subnet_mappings", "is_leaving"),
)


def upgrade() -> None:
    for table, name in _COLUMNS:
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))
        with op.batch_alter_table(table) as batch:
            batch.alter_column(name, existing_type=sa.Boolean, server_default=None)


def downgrade() -> None:
    for table, name in reversed(_COLUMNS):
        with op.batch_alter_table(table) as batch:
            batch.drop_column(name)
