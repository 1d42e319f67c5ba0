"""Share groups, their snapshots and backups are counted in usages of quotas, and a share instance
says whether it must stay on its pool. None of these exist yet: all counts begin at 0."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"

_COUNTED = ("share_groups", "share_group_snapshots", "backups", "backup_gigabytes")
_PINNED = "is_pinned"


def upgrade() -> None:
    with op.batch_alter_table("quota_usages") as batch:
        for name in _COUNTED:
            batch.add_column(sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    with op.batch_alter_table("quota_usages") as batch:
        for name in _COUNTED:
            batch.alter_column(name, existing_type=sa.BigInteger, server_default=None)
    with op.batch_alter_table("share_instances") as batch:
        batch.add_column(sa.Column(_PINNED, sa.Boolean, nullable=False, server_default=sa.false()))
    with op.batch_alter_table("share_instances") as batch:
        batch.alter_column(_PINNED, existing_type=sa.Boolean, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("share_instances") as batch:
        batch.drop_column(_PINNED)
    with op.batch_alter_table("quota_usages") as batch:
        for name in reversed(_COUNTED):
            batch.drop_column(name)
