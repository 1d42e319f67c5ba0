"""Share networks, their subnets, and the checks whether one in use may be changed so."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, reference, timestamps, uuid_key

share_networks = sa.Table(
    "share_networks",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("user_id", sa.String(255)),
    sa.Column("name", sa.String(255)),
    sa.Column("description", sa.String(255)),
    sa.Column("status", sa.String(36), nullable=False),
    # True: deleted for its users; the row goes with the last share server on it.
    sa.Column("is_deleting", sa.Boolean, nullable=False, default=False),
    *timestamps(),
)

share_network_subnets = sa.Table(
    "share_network_subnets",
    metadata,
    uuid_key(),
    reference("share_network_id", "share_networks"),
    # null: a default subnet
    reference("availability_zone_id", "availability_zones", nullable=True),
    sa.Column("neutron_net_id", sa.String(255)),
    sa.Column("neutron_subnet_id", sa.String(255), index=True),
    # Known once resolved by the network plug-in; null until then.
    sa.Column("cidr", sa.String(64)),
    sa.Column("gateway", sa.String(64)),
    sa.Column("ip_version", sa.Integer),
    sa.Column("mtu", sa.Integer),
    sa.Column("network_type", sa.String(32)),
    sa.Column("segmentation_id", sa.Integer),
    sa.Column("physical_network", sa.String(255)),
    # on a network of Abaca's own
    sa.Column("is_local", sa.Boolean, nullable=False, default=False),
    sa.Column("metadata", sa.JSON, nullable=False, default=dict),  # {key: value}, text to text
    sa.Column("is_deleting", sa.Boolean, nullable=False, default=False),  # as in share_networks
    # Null: it does not drain.
    sa.Column("removal_started_at", sa.DateTime),
    # Null in a drain: its removal has begun.
    sa.Column("removal_deadline", sa.DateTime),
    sa.Column("removal_at_deadline", sa.String(16)),  # cancel or force
    # Why it could not be removed at its deadline, as the project was told last.
    sa.Column("removal_obstacle", sa.String(1023)),
    *timestamps(),
)

share_network_checks = sa.Table(
    "share_network_checks",
    metadata,
    uuid_key(),
    reference("share_network_id", "share_networks", ondelete="CASCADE"),
    sa.Column("request", sa.JSON, nullable=False),  # what it asks: ids, never secrets
    sa.Column("request_digest", sa.String(64), nullable=False, index=True),
    # sorted: all servers of the network, asked
    sa.Column("share_server_ids", sa.JSON, nullable=False),
    sa.Column("hosts", sa.JSON, nullable=False),  # {host: null | true | false}
    sa.Column("reasons", sa.JSON, nullable=False),  # {host: why not}
    sa.Column("subnet", sa.JSON),  # values.Subnet, once resolved
    sa.Column("free_addresses", sa.Integer),  # there; null: not asked, or not known
    sa.Column("expires_at", sa.DateTime, nullable=False),
    *timestamps(),
)
