"""Mountable snapshots can have access rules of their own. For the snapshots of shares that are
there, the rules of the share go on to hold, and own ones add to them.

There is no way back while a snapshot has rules of its own, or follows only these, unless that is
allowed (`downgrade(…, allow_data_loss=True)`): clients would lose access, or those of the share
would get it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from abaca.errors import Conflict

revision = "0031"
down_revision = "0028"

_RULES = "share_snapshot_access_rules"
_MAP = "share_snapshot_instance_access_map"
_COLUMN = "snapshot_inherit_share_access_support"
_SNAPSHOTS = sa.table("share_snapshots", sa.column("share_id"))
_SHARES = sa.table(
    "shares",
    sa.column("id"),
    sa.column("mount_snapshot_support", sa.Boolean),
    sa.column(_COLUMN, sa.Boolean),
)


def upgrade() -> None:
    op.create_table(
        _RULES,
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("snapshot_id", sa.String(36), nullable=False),
        sa.Column("access_type", sa.String(255), nullable=False),
        sa.Column("access_to", sa.String(255), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name=f"pk_{_RULES}"),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["share_snapshots.id"],
            name=f"fk_{_RULES}_snapshot_id",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "snapshot_id",
            "access_type",
            "access_to",
            name=f"uq_{_RULES}_target",
        ),
    )
    op.create_table(
        _MAP,
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("snapshot_instance_id", sa.String(36), nullable=False),
        sa.Column("access_id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(36), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name=f"pk_{_MAP}"),
        sa.ForeignKeyConstraint(
            ["snapshot_instance_id"],
            ["share_snapshot_instances.id"],
            name=f"fk_{_MAP}_snapshot_instance_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["access_id"], [f"{_RULES}.id"], name=f"fk_{_MAP}_access_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint(
            "snapshot_instance_id",
            "access_id",
            name=f"uq_{_MAP}_rule",
        ),
    )
    op.create_index(f"ix_{_MAP}_access_id", _MAP, ["access_id"])
    op.add_column("shares", sa.Column(_COLUMN, sa.Boolean))


def downgrade() -> None:
    connection = op.get_bind()
    snapshots = sa.select(_SNAPSHOTS.c.share_id)
    apart = _SHARES.c[_COLUMN].is_(sa.false()) & _SHARES.c.mount_snapshot_support
    for what, there in (
        ("access rules of snapshots", sa.select(sa.func.count()).select_from(sa.table(_RULES))),
        (
            "shares whose mountable snapshots do not follow their rules",
            sa.select(sa.func.count()).where(apart, _SHARES.c.id.in_(snapshots)),
        ),
    ):
        number = connection.scalar(there)
        if number and not context.config.attributes.get("allow_data_loss", False):
            raise Conflict(
                f"The older schema cannot hold {number} {what}: deny such rules, and delete such "
                "snapshots, before you go back."
            )
    op.drop_column("shares", _COLUMN)
    op.drop_table(_MAP)
    op.drop_table(_RULES)
