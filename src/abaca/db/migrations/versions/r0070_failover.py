"""What hosts are taken for dead by, and when they were: by workers that share a back end.

Going back, it is forgotten.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0070"
down_revision = "0069"


def upgrade() -> None:
    op.add_column("hosts", sa.Column("failed_over_at", sa.DateTime))
    op.add_column("hosts", sa.Column("failover_refusal", sa.String(1023)))
    op.add_column("service_workers", sa.Column("reached_at", sa.String(1023)))


def downgrade() -> None:
    with op.batch_alter_table("service_workers") as batch:
        batch.drop_column("reached_at")
    with op.batch_alter_table("hosts") as batch:
        batch.drop_column("failover_refusal")
        batch.drop_column("failed_over_at")
