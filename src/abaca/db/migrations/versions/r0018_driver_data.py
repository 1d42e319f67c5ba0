"""What drivers keep beside their storage. There is no way back while there is some: a driver may
not find what it made without it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from abaca.errors import Conflict

revision = "0018"
down_revision = "0017"

_TABLE = "driver_data"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("service_host", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("service_host", "subject", "key", name=f"pk_{_TABLE}"),
    )


def downgrade() -> None:
    kept = op.get_bind().scalar(sa.text(f"SELECT count(*) FROM {_TABLE}"))
    if kept and not context.config.attributes.get("allow_data_loss", False):
        raise Conflict(
            f"Drivers keep {kept} values; the older schema has no place for them, and drivers may "
            "miss them."
        )
    op.drop_table(_TABLE)
