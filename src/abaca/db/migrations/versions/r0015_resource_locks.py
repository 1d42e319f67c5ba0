"""Resource locks. There is no way back while there are some, unless that is allowed: what they keep
would no longer be kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from abaca.errors import Conflict

revision = "0015"
down_revision = "0014"

_TABLE = "resource_locks"
_REFERENCES = {"share_id": "shares", "access_rule_id": "share_access_rules", "cause_id": _TABLE}


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("lock_context", sa.String(16), nullable=False),
        sa.Column("share_id", sa.String(36)),
        sa.Column("access_rule_id", sa.String(36)),
        sa.Column("resource_action", sa.String(16), nullable=False),
        sa.Column("lock_reason", sa.String(1023)),
        sa.Column("cause_id", sa.String(36)),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name=f"pk_{_TABLE}"),
        *[
            sa.ForeignKeyConstraint(
                [name], [f"{of}.id"], name=f"fk_{_TABLE}_{name}", ondelete="CASCADE"
            )
            for name, of in _REFERENCES.items()
        ],
        sa.CheckConstraint(
            "(share_id IS NULL) <> (access_rule_id IS NULL)", name=f"ck_{_TABLE}_one_resource"
        ),
    )
    for name in ("project_id", *_REFERENCES):
        op.create_index(f"ix_{_TABLE}_{name}", _TABLE, [name])


def downgrade() -> None:
    locks = op.get_bind().scalar(sa.text(f"SELECT count(*) FROM {_TABLE}"))
    if locks and not context.config.attributes.get("allow_data_loss", False):
        raise Conflict(
            f"There are {locks} resource locks; the older schema has none, and what they lock "
            "could be deleted."
        )
    op.drop_table(_TABLE)
