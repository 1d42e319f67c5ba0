"""Shares and snapshots whose deletion is deferred, and since when.

There is no way back while there are such ones, unless that is allowed (`downgrade(…,
allow_data_loss=True)`): they would be their projects' again, past their quotas.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from abaca.errors import Conflict

revision = "0052"
down_revision = "0040"

_TABLES = ("shares", "share_snapshots")
_COLUMN = "deletion_deferred_at"


def upgrade() -> None:
    for table in _TABLES:
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column(_COLUMN, sa.DateTime))


def downgrade() -> None:
    for table in _TABLES:
        deferred = sa.text(f"SELECT count(*) FROM {table} WHERE {_COLUMN} IS NOT NULL")
        number = op.get_bind().scalar(deferred)
        if number and not context.config.attributes.get("allow_data_loss", False):
            raise Conflict(
                f"The deletion of {number} rows of {table} is deferred; the older schema would "
                "show them to their projects again."
            )
    for table in _TABLES:
        with op.batch_alter_table(table) as batch:
            batch.drop_column(_COLUMN)
