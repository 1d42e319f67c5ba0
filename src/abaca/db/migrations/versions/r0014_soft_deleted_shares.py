"""Shares that are soft-deleted, and until when they are kept.

There is no way back while there are such shares, unless that is allowed (`downgrade(…,
allow_data_loss=True)`): they would be ordinary ones again.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from abaca.errors import Conflict

revision = "0014"
down_revision = "0013"

_COLUMN = "scheduled_to_be_deleted_at"
_INDEX = f"ix_shares_{_COLUMN}"


def upgrade() -> None:
    with op.batch_alter_table("shares") as batch:
        batch.add_column(sa.Column(_COLUMN, sa.DateTime))
    some = sa.text(f"{_COLUMN} IS NOT NULL")
    op.create_index(_INDEX, "shares", [_COLUMN], sqlite_where=some, postgresql_where=some)


def downgrade() -> None:
    kept = op.get_bind().scalar(sa.text(f"SELECT count(*) FROM shares WHERE {_COLUMN} IS NOT NULL"))
    if kept and not context.config.attributes.get("allow_data_loss", False):
        raise Conflict(
            f"{kept} shares are soft-deleted; the older schema would show them as if they were not."
        )
    op.drop_index(_INDEX, "shares")
    with op.batch_alter_table("shares") as batch:
        batch.drop_column(_COLUMN)
