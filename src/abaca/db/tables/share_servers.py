"""Share servers, the subnets they are on, their addresses and what their driver said of them."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, reference, timestamps, uuid_key

share_servers = sa.Table(
    "share_servers",
    metadata,
    uuid_key(),
    reference("share_network_id", "share_networks"),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("host", sa.String(255), nullable=False, index=True),  # host@backend
    # Of a back end that several workers serve: on whose host it stands. Null: there is one only.
    sa.Column("worker_host", sa.String(255), index=True),
    # True while it goes to that host, or leaves it; its work waits in a queue of its own.
    sa.Column("is_moving", sa.Boolean, nullable=False, default=False),
    # grows with each move, whose work is about no other
    sa.Column("generation", sa.Integer, nullable=False, default=0),
    # why its last move has not ended well
    sa.Column("move_reason", sa.String(1023)),
    sa.Column("status", sa.String(36), nullable=False),
    sa.Column("status_reason", sa.String(1023)),
    sa.Column("identifier", sa.String(255)),
    sa.Column("is_auto_deletable", sa.Boolean, nullable=False, default=True),
    sa.Column("task_state", sa.String(255)),
    sa.Column("source_share_server_id", sa.String(36)),
    sa.Column("security_service_update_support", sa.Boolean, nullable=False, default=False),
    sa.Column("network_allocation_update_support", sa.Boolean, nullable=False, default=False),
    sa.Column("share_server_subnet_removal_support", sa.Boolean, nullable=False, default=False),
    *timestamps(),
)

# Deleted, but for a while what was last asked of the network plug-in for them may still come about;
# see reconcile/late_addresses.py.
departed_share_servers = sa.Table(
    "departed_share_servers",
    metadata,
    uuid_key(),
    sa.Column("host", sa.String(255), nullable=False),  # host@backend
    sa.Column("departed_at", sa.DateTime, nullable=False),
)

share_server_backend_details = sa.Table(
    "share_server_backend_details",
    metadata,
    sa.Column(
        "share_server_id",
        sa.String(36),
        sa.ForeignKey("share_servers.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

share_server_share_network_subnet_mappings = sa.Table(
    "share_server_share_network_subnet_mappings",
    metadata,
    reference("share_server_id", "share_servers", ondelete="CASCADE"),
    reference("share_network_subnet_id", "share_network_subnets"),
    # False while the server does not serve the subnet: an addition that runs, or that failed and
    # waits for a retry. Of one that is leaving: the back end has released it, the addresses go
    # back.
    sa.Column("is_served", sa.Boolean, nullable=False, default=True),
    # True while the server is giving the subnet up: a removal that runs, or that failed and waits
    # for a retry or for being abandoned.
    sa.Column("is_leaving", sa.Boolean, nullable=False, default=False),
    # True while the back end refuses new clients there: the subnet drains.
    sa.Column("refuses_new_clients", sa.Boolean, nullable=False, default=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.PrimaryKeyConstraint("share_server_id", "share_network_subnet_id"),
)

network_allocations = sa.Table(
    "network_allocations",
    metadata,
    uuid_key(),  # the id the network plug-in gave it (Neutron: the port's)
    reference("share_server_id", "share_servers"),
    reference("share_network_subnet_id", "share_network_subnets"),
    # 0… among the server's allocations on that subnet
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("neutron_subnet_id", sa.String(255), nullable=False),
    sa.Column("ip_address", sa.String(64), nullable=False),
    sa.Column("mac_address", sa.String(32), nullable=False),
    *timestamps(),
    sa.UniqueConstraint("neutron_subnet_id", "ip_address"),
    sa.UniqueConstraint("share_server_id", "share_network_subnet_id", "position"),
)
