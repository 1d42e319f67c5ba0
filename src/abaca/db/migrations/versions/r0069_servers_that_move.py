"""Share servers that may stand on one of several hosts, and the workers of such back ends.

Going back, it is forgotten where they stand: no back end may be shared then.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0069"
down_revision = "0065"

_WORKERS = "service_workers"


_COLUMNS: tuple[tuple[str, str, type[sa.Boolean | sa.Integer], str], ...] = (
    ("share_servers", "is_moving", sa.Boolean, "false"),
    ("share_servers", "generation", sa.Integer, "0"),
    ("services", "is_shared", sa.Boolean, "false"),
)


def upgrade() -> None:
    op.add_column("share_servers", sa.Column("worker_host", sa.String(255)))
    op.add_column("share_servers", sa.Column("move_reason", sa.String(1023)))
    op.create_index("ix_share_servers_worker_host", "share_servers", ["worker_host"])
    for table, name, kind, default in _COLUMNS:
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column(name, kind, nullable=False, server_default=sa.text(default)))
        with op.batch_alter_table(table) as batch:
            batch.alter_column(name, existing_type=kind, server_default=None)
    op.create_table(
        _WORKERS,
        sa.Column("service_host", sa.String(255), nullable=False),
        sa.Column("worker_host", sa.String(255), nullable=False),
        sa.Column("is_ready", sa.Boolean, nullable=False),
        sa.Column("state_reason", sa.String(1023)),
        sa.Column("unserved_share_servers", sa.Integer, nullable=False),
        sa.Column("share_server_restarts", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("service_host", "worker_host", name=f"pk_{_WORKERS}"),
    )


def downgrade() -> None:
    op.drop_table(_WORKERS)
    for table, name, *_ in reversed(_COLUMNS):
        with op.batch_alter_table(table) as batch:
            batch.drop_column(name)
    op.drop_index("ix_share_servers_worker_host", "share_servers")
    with op.batch_alter_table("share_servers") as batch:
        batch.drop_column("move_reason")
        batch.drop_column("worker_host")
