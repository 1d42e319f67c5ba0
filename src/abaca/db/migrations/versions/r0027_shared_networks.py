"""Local networks are shared by policies, with one project each or with all; those that were shared
have one for all.

Going back, networks stay shared with all projects, and are no longer shared with single ones: take
the share networks of these away before, for their share servers lose the network.
"""

from __future__ import annotations

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0025"

_TABLE = "local_rbac_policies"
_NETWORKS = sa.table(
    "local_networks", sa.column("id"), sa.column("created_at"), sa.column("shared", sa.Boolean)
)
_POLICIES = sa.table(
    _TABLE,
    sa.column("id"),
    sa.column("network_id"),
    sa.column("target_project"),
    sa.column("created_at"),
)


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("network_id", sa.String(36), nullable=False),
        sa.Column("target_project", sa.String(255), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name=f"pk_{_TABLE}"),
        sa.ForeignKeyConstraint(
            ["network_id"], ["local_networks.id"], name=f"fk_{_TABLE}_network_id"
        ),
        sa.UniqueConstraint(
            "network_id", "target_project", name=f"uq_{_TABLE}_network_id_target_project"
        ),
    )
    op.create_index(f"ix_{_TABLE}_target_project", _TABLE, ["target_project"])
    connection = op.get_bind()
    shared = connection.execute(sa.select(_NETWORKS).where(_NETWORKS.c.shared)).all()
    for network in shared:
        connection.execute(
            sa.insert(_POLICIES).values(
                id=str(uuid4()),
                network_id=network.id,
                target_project="*",
                created_at=network.created_at,
            )
        )
    with op.batch_alter_table("local_networks") as batch:
        batch.drop_column("shared")


def downgrade() -> None:
    with op.batch_alter_table("local_networks") as batch:
        batch.add_column(sa.Column("shared", sa.Boolean, nullable=False, server_default=sa.false()))
    with op.batch_alter_table("local_networks") as batch:
        batch.alter_column("shared", existing_type=sa.Boolean, server_default=None)
    for_all = sa.select(_POLICIES.c.network_id).where(_POLICIES.c.target_project == "*")
    op.execute(sa.update(_NETWORKS).where(_NETWORKS.c.id.in_(for_all)).values(shared=sa.true()))
    op.drop_table(_TABLE)
