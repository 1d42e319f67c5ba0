"""A share may be made from a member of a group snapshot, with the group that it is in. The way back
forgets which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0035"

_COLUMN = "source_share_group_snapshot_member_id"


def upgrade() -> None:
    op.add_column("shares", sa.Column(_COLUMN, sa.String(36)))


def downgrade() -> None:
    op.drop_column("shares", _COLUMN)
