"""The newest shares of a share network, or of one name, are found without reading all shares of the
project."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

NETWORK = ["share_network_id"]
NAME = ["project_id", "display_name"]


def upgrade() -> None:
    op.create_index(
        "ix_share_instances_share_network_id_created_at",
        "share_instances",
        [*NETWORK, "created_at"],
    )
    op.drop_index("ix_share_instances_share_network_id", "share_instances")
    op.create_index("ix_shares_project_id_display_name_created_at", "shares", [*NAME, "created_at"])
    op.drop_index("ix_shares_project_id_display_name", "shares")


def downgrade() -> None:
    op.create_index("ix_share_instances_share_network_id", "share_instances", NETWORK)
    op.drop_index("ix_share_instances_share_network_id_created_at", "share_instances")
    op.create_index("ix_shares_project_id_display_name", "shares", NAME)
    op.drop_index("ix_shares_project_id_display_name_created_at", "shares")
