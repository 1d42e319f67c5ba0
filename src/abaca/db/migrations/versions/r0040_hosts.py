"""Hosts, and machines on local networks: tenant networks over several hosts.

Going back, machines that `abaca client` attached are known to their own hosts only.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0050"


def upgrade() -> None:
    op.create_table(
        "hosts",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_reason", sa.String(1023)),
        sa.Column("tunnel_address", sa.String(64)),
        sa.Column("tunnel_port", sa.Integer),
        sa.Column("underlay_mtu", sa.Integer),
        sa.Column("unreached", sa.String(1023)),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name="pk_hosts"),
        sa.UniqueConstraint("name", name="uq_hosts_name"),
        sa.UniqueConstraint("tunnel_address", name="uq_hosts_tunnel_address"),
    )
    op.create_table(
        "local_machines",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("network_id", sa.String(36), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("mac_address", sa.String(32), nullable=False),
        sa.Column("ip_address", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_local_machines"),
        sa.ForeignKeyConstraint(
            ["network_id"],
            ["local_networks.id"],
            name="fk_local_machines_network_id",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(
            "network_id", "ip_address", name="uq_local_machines_network_id_ip_address"
        ),
    )
    op.create_index("ix_local_machines_host", "local_machines", ["host"])


def downgrade() -> None:
    op.drop_table("local_machines")
    op.drop_table("hosts")
