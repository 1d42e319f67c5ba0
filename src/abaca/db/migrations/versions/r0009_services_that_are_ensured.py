"""Services say why they are disabled, and whether their share servers are being looked after."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("services", sa.Column("disabled_reason", sa.String(255)))
    op.add_column("services", sa.Column("ensuring", sa.Boolean))
    op.execute(sa.text("UPDATE services SET ensuring = :no").bindparams(no=False))
    with op.batch_alter_table("services") as batch:
        batch.alter_column("ensuring", existing_type=sa.Boolean, nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("services") as batch:
        batch.drop_column("disabled_reason")
        batch.drop_column("ensuring")
