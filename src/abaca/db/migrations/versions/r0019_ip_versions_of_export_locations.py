"""Export locations say the IP version of their address; for existing ones it is derived from the
path. Going back forgets it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_TABLES = ("share_export_locations", "share_snapshot_export_locations")


def upgrade() -> None:
    for name in _TABLES:
        with op.batch_alter_table(name) as table:
            table.add_column(sa.Column("ip_version", sa.Integer))
        locations = sa.table(name, sa.column("path"), sa.column("ip_version"))
        first = sa.func.substr(locations.c.path, 1, 1)
        told = sa.case((first == "[", 6), (first.between("0", "9"), 4))
        op.execute(sa.update(locations).values(ip_version=told))


def downgrade() -> None:
    for name in _TABLES:
        with op.batch_alter_table(name) as table:
            table.drop_column("ip_version")
