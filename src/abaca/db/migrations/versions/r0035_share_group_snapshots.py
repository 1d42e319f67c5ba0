"""Snapshots of share groups, and which of them a snapshot is a member of.

There is no way back while there are some, unless their loss is allowed: to the older schema their
members would be snapshots like any other.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from abaca.errors import Conflict

revision = "0035"
down_revision = "0033"

_GROUP_SNAPSHOTS = "share_group_snapshots"
_SNAPSHOTS = "share_snapshots"
_MEMBER_OF = "share_group_snapshot_id"


def upgrade() -> None:
    op.create_table(
        _GROUP_SNAPSHOTS,
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255)),
        sa.Column("name", sa.String(255)),
        sa.Column("description", sa.String(255)),
        sa.Column("status", sa.String(36), nullable=False),
        sa.Column("share_group_id", sa.String(36), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name=f"pk_{_GROUP_SNAPSHOTS}"),
        sa.ForeignKeyConstraint(
            ["share_group_id"], ["share_groups.id"], name=f"fk_{_GROUP_SNAPSHOTS}_share_group_id"
        ),
    )
    for name in ("status", "share_group_id"):
        op.create_index(f"ix_{_GROUP_SNAPSHOTS}_{name}", _GROUP_SNAPSHOTS, [name])
    op.create_index(
        f"ix_{_GROUP_SNAPSHOTS}_project_id_created_at",
        _GROUP_SNAPSHOTS,
        ["project_id", "created_at"],
    )
    with op.batch_alter_table(_SNAPSHOTS) as batch:
        batch.add_column(sa.Column(_MEMBER_OF, sa.String(36)))
        batch.create_foreign_key(
            f"fk_{_SNAPSHOTS}_{_MEMBER_OF}", _GROUP_SNAPSHOTS, [_MEMBER_OF], ["id"]
        )
        batch.create_index(f"ix_{_SNAPSHOTS}_{_MEMBER_OF}", [_MEMBER_OF])


def downgrade() -> None:
    number = op.get_bind().scalar(sa.text(f"SELECT count(*) FROM {_GROUP_SNAPSHOTS}"))
    if number and not context.config.attributes.get("allow_data_loss", False):
        raise Conflict(
            f"There are {number} snapshots of share groups, which the older schema cannot hold; "
            "delete them before you go back."
        )
    with op.batch_alter_table(_SNAPSHOTS) as batch:
        batch.drop_index(f"ix_{_SNAPSHOTS}_{_MEMBER_OF}")
        batch.drop_constraint(f"fk_{_SNAPSHOTS}_{_MEMBER_OF}", type_="foreignkey")
        batch.drop_column(_MEMBER_OF)
    op.drop_table(_GROUP_SNAPSHOTS)
    op.execute("UPDATE quota_usages SET share_group_snapshots = 0 WHERE share_group_snapshots <> 0")
