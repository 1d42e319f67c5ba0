"""Shares are found by name without reading all of a project's."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_index("ix_shares_project_id_display_name", "shares", ["project_id", "display_name"])


def downgrade() -> None:
    op.drop_index("ix_shares_project_id_display_name", "shares")
