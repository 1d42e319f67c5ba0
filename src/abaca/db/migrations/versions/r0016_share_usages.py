"""What shares hold, when it was measured, and how often share servers had to be restarted. Going
back forgets it; it is measured anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_TABLE = "share_usages"


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("share_instance_id", sa.String(36), nullable=False),
        sa.Column("service_host", sa.String(255), nullable=False),
        sa.Column("used_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("share_instance_id", name=f"pk_{_TABLE}"),
    )
    op.create_index(f"ix_{_TABLE}_service_host", _TABLE, ["service_host"])
    with op.batch_alter_table("services") as services:
        services.add_column(sa.Column("usage_measured_at", sa.DateTime))
        services.add_column(
            sa.Column("share_server_restarts", sa.Integer, nullable=False, server_default="0")
        )
    with op.batch_alter_table("services") as services:
        services.alter_column(
            "share_server_restarts", existing_type=sa.Integer, server_default=None
        )


def downgrade() -> None:
    with op.batch_alter_table("services") as services:
        services.drop_column("share_server_restarts")
        services.drop_column("usage_measured_at")
    op.drop_table(_TABLE)
