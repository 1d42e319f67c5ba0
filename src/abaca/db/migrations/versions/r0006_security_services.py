"""Security services; checks before a change of a share network are no longer about subnets
alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_TEXTS = ("name", "description", "dns_ip", "server", "domain", "ou", "default_ad_site", "user")
_LINKS = "share_network_security_service_association"


def upgrade() -> None:
    op.create_table(
        "security_services",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project_id", sa.String(255), nullable=False, index=True),
        sa.Column("type", sa.String(32), nullable=False),
        *[sa.Column(name, sa.String(255)) for name in _TEXTS],
        sa.Column("encrypted_password", sa.Text),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
    )
    op.create_table(
        _LINKS,
        sa.Column(
            "share_network_id",
            sa.String(36),
            sa.ForeignKey("share_networks.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column(
            "security_service_id",
            sa.String(36),
            sa.ForeignKey("security_services.id"),
            nullable=False,
            index=True,
        ),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("share_network_id", "security_service_id"),
    )
    # Checks live for two minutes: those that are there are asked again.
    op.drop_table("share_network_subnet_checks")
    _create_checks("share_network_checks")


def downgrade() -> None:
    op.drop_table("share_network_checks")
    _create_checks("share_network_subnet_checks")
    op.drop_table(_LINKS)
    op.drop_table("security_services")


def _create_checks(name: str) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column(
            "share_network_id",
            sa.String(36),
            sa.ForeignKey("share_networks.id", ondelete="CASCADE"),
            nullable=False,
            index=True,
        ),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("request_digest", sa.String(64), nullable=False, index=True),
        sa.Column("share_server_ids", sa.JSON, nullable=False),
        sa.Column("hosts", sa.JSON, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("subnet", sa.JSON),
        sa.Column("expires_at", sa.DateTime, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
    )
