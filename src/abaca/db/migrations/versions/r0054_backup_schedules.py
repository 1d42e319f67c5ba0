"""A table for the schedules by which backups are made, and of a backup the frequency by which it
was. The way back loses them; the metadata of shares, which say them, stay."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"

_TABLE = "backup_schedules"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("share_id", sa.String(36), nullable=False),
        sa.Column("frequency", sa.String(16), nullable=False),
        sa.Column("kept", sa.Integer, nullable=False),
        sa.Column("minute", sa.Integer),
        sa.Column("next_at", sa.DateTime, nullable=False),
        sa.Column("newest_backup_id", sa.String(36)),
        sa.PrimaryKeyConstraint("share_id", "frequency", name=f"pk_{_TABLE}"),
        sa.ForeignKeyConstraint(
            ["share_id"], ["shares.id"], name=f"fk_{_TABLE}_share_id", ondelete="CASCADE"
        ),
    )
    op.create_index(f"ix_{_TABLE}_next_at", _TABLE, ["next_at"])
    with op.batch_alter_table("share_backups") as batch:
        batch.add_column(sa.Column("frequency", sa.String(16)))


def downgrade() -> None:
    with op.batch_alter_table("share_backups") as batch:
        batch.drop_column("frequency")
    op.drop_table(_TABLE)
