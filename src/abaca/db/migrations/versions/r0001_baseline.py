"""The baseline: every table, with share servers that are on exactly one subnet.

A frozen copy of the tables as they were: it must not change when `abaca.db.tables` does.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def uuid_key() -> sa.Column[str]:
    return sa.Column("id", sa.String(36), primary_key=True)


def timestamps() -> tuple[sa.Column[Any], sa.Column[Any]]:
    return sa.Column("created_at", sa.DateTime, nullable=False), sa.Column(
        "updated_at", sa.DateTime
    )


def reference(
    name: str,
    target: str,
    *,
    nullable: bool = False,
    index: bool = True,
    ondelete: str | None = None,
) -> sa.Column[str]:
    return sa.Column(
        name,
        sa.String(36),
        sa.ForeignKey(f"{target}.id", ondelete=ondelete),
        nullable=nullable,
        index=index,
    )


sa.Table(
    "availability_zones",
    metadata,
    uuid_key(),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    *timestamps(),
)

sa.Table(
    "services",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("host", sa.String(255), nullable=False, unique=True),  # host@backend
    # the queue that its work goes to
    sa.Column("worker_host", sa.String(255), nullable=False, index=True),
    sa.Column("binary", sa.String(255), nullable=False),
    reference("availability_zone_id", "availability_zones"),
    sa.Column("disabled", sa.Boolean, nullable=False),
    # why the back end is not ready although its worker lives
    sa.Column("state_reason", sa.String(1023)),
    sa.Column("is_ready", sa.Boolean, nullable=False),
    sa.Column("network_allocations_number", sa.Integer, nullable=False),
    sa.Column("network_allocation_update_support", sa.Boolean, nullable=False),
    sa.Column("security_service_update_support", sa.Boolean, nullable=False),
    # without another heartbeat the service counts as down from then on
    sa.Column("expires_at", sa.DateTime, nullable=False),
    *timestamps(),
)

sa.Table(
    "worker_leases",
    metadata,
    sa.Column("host", sa.String(255), primary_key=True),
    sa.Column("machine", sa.String(255), nullable=False),
    # grows by one with each new holder: the fencing token
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("expires_at", sa.DateTime, nullable=False),
)

sa.Table(
    "pools",
    metadata,
    sa.Column("host", sa.String(255), primary_key=True),  # host@backend#pool
    sa.Column("service_host", sa.String(255), nullable=False, index=True),  # host@backend
    sa.Column("stats", sa.JSON, nullable=False),  # values.PoolStats
    sa.Column("allocated_capacity_gb", sa.Integer, nullable=False),
    sa.Column("updated_at", sa.DateTime, nullable=False),
)

sa.Table(
    "share_types",
    metadata,
    uuid_key(),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("description", sa.String(255)),
    sa.Column("is_public", sa.Boolean, nullable=False),
    *timestamps(),
)

sa.Table(
    "share_type_extra_specs",
    metadata,
    sa.Column(
        "share_type_id",
        sa.String(36),
        sa.ForeignKey("share_types.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("spec_key", sa.String(255), primary_key=True),
    sa.Column("spec_value", sa.String(255), nullable=False),
)

sa.Table(
    "share_type_projects",
    metadata,
    reference("share_type_id", "share_types", ondelete="CASCADE"),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.PrimaryKeyConstraint("share_type_id", "project_id"),
)

sa.Table(
    "share_networks",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("user_id", sa.String(255)),
    sa.Column("name", sa.String(255)),
    sa.Column("description", sa.String(255)),
    sa.Column("status", sa.String(36), nullable=False),
    sa.Column("is_deleting", sa.Boolean, nullable=False),
    *timestamps(),
)

sa.Table(
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
    sa.Column("is_deleting", sa.Boolean, nullable=False),
    *timestamps(),
)

sa.Table(
    "share_servers",
    metadata,
    uuid_key(),
    reference("share_network_id", "share_networks"),
    reference("share_network_subnet_id", "share_network_subnets", nullable=True),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("host", sa.String(255), nullable=False, index=True),  # host@backend
    sa.Column("status", sa.String(36), nullable=False),
    sa.Column("status_reason", sa.String(1023)),
    sa.Column("identifier", sa.String(255)),
    sa.Column("is_auto_deletable", sa.Boolean, nullable=False),
    sa.Column("task_state", sa.String(255)),
    sa.Column("source_share_server_id", sa.String(36)),
    sa.Column("security_service_update_support", sa.Boolean, nullable=False),
    *timestamps(),
)

sa.Table(
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

sa.Table(
    "network_allocations",
    metadata,
    uuid_key(),  # the id the network plug-in gave it (Neutron: the port's)
    reference("share_server_id", "share_servers"),
    sa.Column("position", sa.Integer, nullable=False),  # 0… among the server's allocations
    sa.Column("neutron_subnet_id", sa.String(255), nullable=False),
    sa.Column("ip_address", sa.String(64), nullable=False),
    sa.Column("mac_address", sa.String(32), nullable=False),
    *timestamps(),
    sa.UniqueConstraint("neutron_subnet_id", "ip_address"),
    sa.UniqueConstraint("share_server_id", "position"),
)

sa.Table(
    "shares",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255)),
    sa.Column("display_name", sa.String(255)),
    sa.Column("display_description", sa.String(255)),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("share_proto", sa.String(255), nullable=False),
    sa.Column("is_public", sa.Boolean, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),  # {key: value}, text to text
    sa.Column("snapshot_id", sa.String(36)),
    sa.Column("task_state", sa.String(255)),
    # Taken from the share type when the share is made; a later change of the type does not touch
    # them.
    sa.Column("snapshot_support", sa.Boolean, nullable=False),
    sa.Column("create_share_from_snapshot_support", sa.Boolean, nullable=False),
    sa.Column("revert_to_snapshot_support", sa.Boolean, nullable=False),
    sa.Column("mount_snapshot_support", sa.Boolean, nullable=False),
    sa.Column("replication_type", sa.String(255)),
    *timestamps(),
    sa.Index("ix_shares_project_id_created_at", "project_id", "created_at"),
    sa.Index("ix_shares_created_at", "created_at"),
)

sa.Table(
    "share_instances",
    metadata,
    uuid_key(),
    sa.Column(
        "share_id",
        sa.String(36),
        sa.ForeignKey("shares.id", ondelete="CASCADE"),
        nullable=False,
        unique=True,
    ),
    reference("share_type_id", "share_types"),
    reference("share_network_id", "share_networks", nullable=True),
    reference("share_server_id", "share_servers", nullable=True),
    reference("availability_zone_id", "availability_zones", nullable=True),
    sa.Column("host", sa.String(255), index=True),  # host@backend#pool; null until placed
    sa.Column("status", sa.String(36), nullable=False, index=True),
    sa.Column("access_rules_status", sa.String(36), nullable=False),
    sa.Column("progress", sa.String(32)),
    *timestamps(),
)

sa.Table(
    "share_export_locations",
    metadata,
    uuid_key(),
    reference("share_instance_id", "share_instances", ondelete="CASCADE"),
    sa.Column("path", sa.String(2000), nullable=False),
    # the order shown, kept when locations are added
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("preferred", sa.Boolean, nullable=False),
    sa.Column("is_admin_only", sa.Boolean, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    *timestamps(),
)

sa.Table(
    "share_access_rules",
    metadata,
    uuid_key(),
    reference("share_id", "shares", ondelete="CASCADE"),
    sa.Column("access_type", sa.String(255), nullable=False),
    sa.Column("access_to", sa.String(255), nullable=False),
    sa.Column("access_level", sa.String(2), nullable=False),
    sa.Column("access_key", sa.String(255)),
    sa.Column("state", sa.String(36), nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    *timestamps(),
    sa.UniqueConstraint("share_id", "access_type", "access_to"),
)

sa.Table(
    "messages",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("request_id", sa.String(255)),
    sa.Column("resource_type", sa.String(255)),
    sa.Column("resource_id", sa.String(36), index=True),
    sa.Column("action_id", sa.String(10), nullable=False),
    sa.Column("detail_id", sa.String(10)),
    sa.Column("message_level", sa.String(32), nullable=False),
    sa.Column("user_message", sa.String(1023), nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("expires_at", sa.DateTime, nullable=False),
)

sa.Table(
    "local_networks",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("description", sa.String(255), nullable=False),
    sa.Column("shared", sa.Boolean, nullable=False),
    sa.Column("mtu", sa.Integer, nullable=False),
    sa.Column("vxlan_id", sa.Integer, nullable=False, unique=True),
    *timestamps(),
)

sa.Table(
    "local_subnets",
    metadata,
    uuid_key(),
    reference("network_id", "local_networks"),
    sa.Column("project_id", sa.String(255), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("description", sa.String(255), nullable=False),
    sa.Column("cidr", sa.String(64), nullable=False),
    sa.Column("ip_version", sa.Integer, nullable=False),
    sa.Column("gateway_ip", sa.String(64)),
    sa.Column("allocation_pools", sa.JSON, nullable=False),  # [{"start": …, "end": …}]
    *timestamps(),
)

sa.Table(
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


def upgrade() -> None:
    metadata.create_all(op.get_bind(), checkfirst=False)


def downgrade() -> None:
    metadata.drop_all(op.get_bind(), checkfirst=False)
