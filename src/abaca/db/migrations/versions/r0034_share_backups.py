"""Backups of shares.

Going back, their rows are lost, and with them what tells the copies apart that back ends keep:
delete the backups before. Refused while there are any.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from abaca.errors import Conflict

revision = "0034"
down_revision = "0029"

_TABLE = "share_backups"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255)),
        sa.Column("share_id", sa.String(36), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("status", sa.String(36), nullable=False),
        sa.Column("display_name", sa.String(255)),
        sa.Column("display_description", sa.String(255)),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("topic", sa.String(255)),
        sa.Column("availability_zone_id", sa.String(36)),
        sa.Column("backup_type", sa.String(255)),
        sa.Column("progress", sa.Integer, nullable=False),
        sa.Column("restore_progress", sa.Integer, nullable=False),
        sa.Column("restore_share_id", sa.String(36)),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name=f"pk_{_TABLE}"),
        sa.ForeignKeyConstraint(["share_id"], ["shares.id"], name=f"fk_{_TABLE}_share_id"),
        sa.ForeignKeyConstraint(
            ["availability_zone_id"],
            ["availability_zones.id"],
            name=f"fk_{_TABLE}_availability_zone_id",
        ),
    )
    for columns in (
        ["share_id"],
        ["status"],
        ["availability_zone_id"],
        ["project_id", "created_at"],
    ):
        op.create_index(f"ix_{_TABLE}_{'_'.join(columns)}", _TABLE, columns)


def downgrade() -> None:
    kept = op.get_bind().scalar(sa.text(f"SELECT count(*) FROM {_TABLE}"))
    if kept and not context.config.attributes.get("allow_data_loss", False):
        raise Conflict(
            f"There are {kept} share backups, which the older schema does not know; their copies "
            "would stay on the back ends for ever. Delete them first."
        )
    op.drop_table(_TABLE)
