"""Share groups, the share types of each, and which group a share is in.

There is no way back while there are groups, unless their loss is allowed: the older schema cannot
say which shares are together.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from abaca.errors import Conflict

revision = "0030"
down_revision = "0034"

_GROUPS = "share_groups"
_TYPES = "share_group_share_type_mappings"
_REFERENCES = {
    "share_group_type_id": "share_group_types",
    "share_network_id": "share_networks",
    "share_server_id": "share_servers",
    "availability_zone_id": "availability_zones",
}
_SHARES_GROUP = "share_group_id"
_SOFT_DELETED = "ix_shares_scheduled_to_be_deleted_at"


def upgrade() -> None:
    op.create_table(
        _GROUPS,
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255)),
        sa.Column("name", sa.String(255)),
        sa.Column("description", sa.String(255)),
        sa.Column("status", sa.String(36), nullable=False),
        sa.Column("host", sa.String(255)),
        *[
            sa.Column(name, sa.String(36), nullable=name != "share_group_type_id")
            for name in _REFERENCES
        ],
        sa.Column("consistent_snapshot_support", sa.String(255)),
        sa.Column("source_share_group_snapshot_id", sa.String(36)),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name=f"pk_{_GROUPS}"),
        *[
            sa.ForeignKeyConstraint([name], [f"{of}.id"], name=f"fk_{_GROUPS}_{name}")
            for name, of in _REFERENCES.items()
        ],
    )
    for name in ("status", *_REFERENCES):
        op.create_index(f"ix_{_GROUPS}_{name}", _GROUPS, [name])
    op.create_index(f"ix_{_GROUPS}_project_id_created_at", _GROUPS, ["project_id", "created_at"])
    op.create_table(
        _TYPES,
        sa.Column("share_group_id", sa.String(36), nullable=False),
        sa.Column("share_type_id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("share_group_id", "share_type_id", name=f"pk_{_TYPES}"),
        sa.ForeignKeyConstraint(
            ["share_group_id"],
            [f"{_GROUPS}.id"],
            name=f"fk_{_TYPES}_share_group_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["share_type_id"], ["share_types.id"], name=f"fk_{_TYPES}_share_type_id"
        ),
    )
    op.create_index(f"ix_{_TYPES}_share_type_id", _TYPES, ["share_type_id"])
    op.drop_index(_SOFT_DELETED, "shares")  # the table is rebuilt on SQLite, without the condition
    with op.batch_alter_table("shares") as batch:
        batch.add_column(sa.Column(_SHARES_GROUP, sa.String(36)))
        batch.create_foreign_key(f"fk_shares_{_SHARES_GROUP}", _GROUPS, [_SHARES_GROUP], ["id"])
        batch.create_index(f"ix_shares_{_SHARES_GROUP}", [_SHARES_GROUP])
    _index_soft_deleted()


def downgrade() -> None:
    groups = op.get_bind().scalar(sa.text(f"SELECT count(*) FROM {_GROUPS}"))
    if groups and not context.config.attributes.get("allow_data_loss", False):
        raise Conflict(
            f"There are {groups} share groups, which the older schema cannot hold; delete them "
            "before you go back."
        )
    op.drop_index(_SOFT_DELETED, "shares")
    with op.batch_alter_table("shares") as batch:
        batch.drop_index(f"ix_shares_{_SHARES_GROUP}")
        batch.drop_constraint(f"fk_shares_{_SHARES_GROUP}", type_="foreignkey")
        batch.drop_column(_SHARES_GROUP)
    _index_soft_deleted()
    op.drop_table(_TYPES)
    op.drop_table(_GROUPS)
    op.execute("UPDATE quota_usages SET share_groups = 0 WHERE share_groups <> 0")


def _index_soft_deleted() -> None:
    column = "scheduled_to_be_deleted_at"
    some = sa.text(f"{column} IS NOT NULL")
    op.create_index(_SOFT_DELETED, "shares", [column], sqlite_where=some, postgresql_where=some)
