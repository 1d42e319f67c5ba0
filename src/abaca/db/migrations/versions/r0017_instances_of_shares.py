"""Shares with several instances: one of them is the active one, and access rules have a state on
each.

There is no way back while a share has several: the older schema cannot hold the others, and what
they have on their back ends would be forgotten. The tables themselves are kept: only the columns
and the constraint change.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from abaca.errors import Conflict

revision = "0017"
down_revision = "0016"

_MAP = "share_instance_access_map"
_REFERENCES = {"share_instance_id": "share_instances", "access_id": "share_access_rules"}
_UP = f"""
    INSERT INTO {_MAP} (id, share_instance_id, access_id, state, created_at, updated_at)
    SELECT rules.id, share_instances.id, rules.id, rules.state, rules.created_at, rules.updated_at
    FROM share_access_rules AS rules
    JOIN share_instances ON share_instances.share_id = rules.share_id
"""
_DOWN = f"""
    UPDATE share_access_rules SET state = COALESCE(
        (SELECT state FROM {_MAP} WHERE {_MAP}.access_id = share_access_rules.id), 'error'
    )
"""


def upgrade() -> None:
    op.create_table(
        _MAP,
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("share_instance_id", sa.String(36), nullable=False),
        sa.Column("access_id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(36), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name=f"pk_{_MAP}"),
        *[
            sa.ForeignKeyConstraint(
                [name], [f"{of}.id"], name=f"fk_{_MAP}_{name}", ondelete="CASCADE"
            )
            for name, of in _REFERENCES.items()
        ],
        sa.UniqueConstraint(*_REFERENCES, name=f"uq_{_MAP}_share_instance_id_access_id"),
    )
    op.create_index(f"ix_{_MAP}_access_id", _MAP, ["access_id"])
    op.execute(_UP)
    with op.batch_alter_table("share_access_rules") as batch:
        batch.drop_column("state")
    with op.batch_alter_table("share_instances") as batch:
        batch.add_column(sa.Column("active", sa.Integer))
        batch.drop_constraint("uq_share_instances_share_id", type_="unique")
        batch.create_unique_constraint("uq_share_instances_share_id_active", ["share_id", "active"])
    op.execute("UPDATE share_instances SET active = 1")


def downgrade() -> None:
    others = op.get_bind().scalar(
        sa.text("SELECT count(*) FROM share_instances WHERE active IS NULL")
    )
    if others:
        raise Conflict(
            f"{others} share instances are beside the active ones of their shares; delete them "
            "before you go back."
        )
    with op.batch_alter_table("share_instances") as batch:
        batch.drop_constraint("uq_share_instances_share_id_active", type_="unique")
        batch.create_unique_constraint("uq_share_instances_share_id", ["share_id"])
        batch.drop_column("active")
    with op.batch_alter_table("share_access_rules") as batch:
        batch.add_column(sa.Column("state", sa.String(36)))
    op.execute(_DOWN)
    with op.batch_alter_table("share_access_rules") as batch:
        batch.alter_column("state", existing_type=sa.String(36), nullable=False)
    op.drop_table(_MAP)
