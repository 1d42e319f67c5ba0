"""The local network plug-in's own networks, subnets and ports: a miniature of Neutron's."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, reference, timestamps, uuid_key

local_networks = sa.Table(
    "local_networks",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("description", sa.String(255), nullable=False, default=""),
    sa.Column("mtu", sa.Integer, nullable=False),
    # What it is on the wire, in Neutron's terms: flat, local, vlan or vxlan.
    sa.Column("network_type", sa.String(32), nullable=False),
    sa.Column("physical_network", sa.String(255)),  # of flat and vlan
    sa.Column("segmentation_id", sa.Integer),  # of vlan and vxlan
    *timestamps(),
)


def _one_network_each(name: str, network_type: str, *columns: str) -> None:
    """No two networks of that type are on one wire."""
    condition = sa.text(f"network_type = '{network_type}'")
    sa.Index(
        name,
        *(local_networks.c[column] for column in columns),
        unique=True,
        sqlite_where=condition,
        postgresql_where=condition,
    )


_one_network_each("uq_local_networks_flat", "flat", "physical_network")
_one_network_each("uq_local_networks_vlan", "vlan", "physical_network", "segmentation_id")
_one_network_each("uq_local_networks_vxlan", "vxlan", "segmentation_id")

# Who may use a network beside its own project.
local_rbac_policies = sa.Table(
    "local_rbac_policies",
    metadata,
    uuid_key(),
    # found by the unique constraint
    reference("network_id", "local_networks", index=False),
    sa.Column("target_project", sa.String(255), nullable=False, index=True),  # *: all
    *timestamps(),
    sa.UniqueConstraint("network_id", "target_project"),
)

local_subnets = sa.Table(
    "local_subnets",
    metadata,
    uuid_key(),
    reference("network_id", "local_networks"),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("description", sa.String(255), nullable=False, default=""),
    sa.Column("cidr", sa.String(64), nullable=False),
    sa.Column("ip_version", sa.Integer, nullable=False),
    sa.Column("gateway_ip", sa.String(64)),
    sa.Column("allocation_pools", sa.JSON, nullable=False),  # [{"start": …, "end": …}]
    *timestamps(),
)

# Addresses that other machines use: given to nobody until `expires_at`.
local_addresses_set_aside = sa.Table(
    "local_addresses_set_aside",
    metadata,
    sa.Column(
        "subnet_id",
        sa.String(36),
        sa.ForeignKey("local_subnets.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("ip_address", sa.String(64), primary_key=True),
    sa.Column("expires_at", sa.DateTime, nullable=False),
)

local_ports = sa.Table(
    "local_ports",
    metadata,
    uuid_key(),
    reference("subnet_id", "local_subnets"),
    # The share server, the share network subnet and the index it was asked for with: looked up
    # before an address is given.
    sa.Column("device_id", sa.String(36), nullable=False, index=True),
    sa.Column("share_network_subnet_id", sa.String(36), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("ip_address", sa.String(64), nullable=False),
    sa.Column("mac_address", sa.String(32), nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.UniqueConstraint("subnet_id", "ip_address"),
    sa.UniqueConstraint("device_id", "share_network_subnet_id", "position"),
)

# Addresses of machines that hosts have put on networks: what other hosts send there.
local_machines = sa.Table(
    "local_machines",
    metadata,
    uuid_key(),
    # found by the unique constraint
    reference("network_id", "local_networks", index=False, ondelete="CASCADE"),
    sa.Column("host", sa.String(255), nullable=False, index=True),  # hosts.name
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("mac_address", sa.String(32), nullable=False),
    sa.Column("ip_address", sa.String(64), nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.UniqueConstraint("network_id", "ip_address"),
)
