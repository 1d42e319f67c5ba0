"""Shares, their instances, export locations, and access rules with their states on each
instance."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, reference, timestamps, uuid_key

# so that no query about others is led to use the index
_IS_SOFT_DELETED = sa.text("scheduled_to_be_deleted_at IS NOT NULL")

shares = sa.Table(
    "shares",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255)),
    sa.Column("display_name", sa.String(255)),
    sa.Column("display_description", sa.String(255)),
    sa.Column("size", sa.Integer, nullable=False),
    # GiB claimed for it, on its pool and in quotas, while it is being extended; null: `size`
    sa.Column("growing_to", sa.Integer),
    sa.Column("share_proto", sa.String(255), nullable=False),
    sa.Column("is_public", sa.Boolean, nullable=False, default=False),
    sa.Column("metadata", sa.JSON, nullable=False),  # {key: value}, text to text
    # values.ExportChoice, from its metadata and its type; null: exported on all subnets
    sa.Column("export_choice", sa.JSON(none_as_null=True)),
    sa.Column("snapshot_id", sa.String(36)),
    reference("share_group_id", "share_groups", nullable=True),
    # made from that member of a group snapshot (a row of share_snapshots), which may go before it
    sa.Column("source_share_group_snapshot_member_id", sa.String(36)),
    sa.Column("task_state", sa.String(255)),
    sa.Column("scheduled_to_be_deleted_at", sa.DateTime),  # set: the share is soft-deleted
    # set: its deletion is deferred: quotas no longer count it, and only administrators see it
    sa.Column("deletion_deferred_at", sa.DateTime),
    # Taken from the share type when the share is made; a later change of the type does not touch
    # them.
    sa.Column("snapshot_support", sa.Boolean, nullable=False, default=False),
    sa.Column("create_share_from_snapshot_support", sa.Boolean, nullable=False, default=False),
    sa.Column("revert_to_snapshot_support", sa.Boolean, nullable=False, default=False),
    sa.Column("mount_snapshot_support", sa.Boolean, nullable=False, default=False),
    # whose rules hold for its mountable snapshots: its own (True), those of the snapshot (False),
    # both (null)
    sa.Column("snapshot_inherit_share_access_support", sa.Boolean),
    sa.Column("replication_type", sa.String(255)),
    # the whole name, with its prefix, that its export paths end with in place of an id
    sa.Column("mount_point_name", sa.String(255), unique=True, index=True),
    *timestamps(is_version=True),
    sa.Index("ix_shares_project_id_created_at", "project_id", "created_at"),
    # clients look shares up by name
    sa.Index(
        "ix_shares_project_id_display_name_created_at", "project_id", "display_name", "created_at"
    ),
    sa.Index("ix_shares_created_at", "created_at"),
    sa.Index(
        "ix_shares_scheduled_to_be_deleted_at",
        "scheduled_to_be_deleted_at",
        sqlite_where=_IS_SOFT_DELETED,
        postgresql_where=_IS_SOFT_DELETED,
    ),
)

share_instances = sa.Table(
    "share_instances",
    metadata,
    uuid_key(),
    reference("share_id", "shares", ondelete="CASCADE", index=False),
    # 1 or null. 1: the instance that clients use, and whose status, host and paths are shown as the
    # share's. Each share has one. A number, not a Boolean: so PostgreSQL sees that a join by it
    # finds one row, and leaves it out where it can.
    sa.Column("active", sa.Integer, default=1),
    reference("share_type_id", "share_types"),
    reference("share_network_id", "share_networks", nullable=True, index=False),
    reference("share_server_id", "share_servers", nullable=True),
    reference("availability_zone_id", "availability_zones", nullable=True),
    sa.Column("host", sa.String(255), index=True),  # host@backend#pool; null until placed
    sa.Column("status", sa.String(36), nullable=False, index=True),
    sa.Column("access_rules_status", sa.String(36), nullable=False),
    sa.Column("progress", sa.String(32)),
    # It stays on its pool: it was placed there by name, or is there with its group.
    sa.Column("is_pinned", sa.Boolean, nullable=False, default=False),
    *timestamps(is_version=True),
    sa.UniqueConstraint("share_id", "active"),
    sa.Index("ix_share_instances_share_network_id_created_at", "share_network_id", "created_at"),
)

share_export_locations = sa.Table(
    "share_export_locations",
    metadata,
    uuid_key(),
    reference("share_instance_id", "share_instances", ondelete="CASCADE"),
    sa.Column("path", sa.String(2000), nullable=False),
    sa.Column("ip_version", sa.Integer),
    # the order shown, kept when locations are added
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("preferred", sa.Boolean, nullable=False, default=False),
    sa.Column("is_admin_only", sa.Boolean, nullable=False, default=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    *timestamps(),
)

share_access_rules = sa.Table(
    "share_access_rules",
    metadata,
    uuid_key(),
    reference("share_id", "shares", ondelete="CASCADE"),
    sa.Column("access_type", sa.String(255), nullable=False),
    sa.Column("access_to", sa.String(255), nullable=False),
    sa.Column("access_level", sa.String(2), nullable=False),
    sa.Column("access_key", sa.String(255)),
    sa.Column("metadata", sa.JSON, nullable=False),
    *timestamps(),
    sa.UniqueConstraint("share_id", "access_type", "access_to"),
)

share_instance_access_map = sa.Table(
    "share_instance_access_map",
    metadata,
    uuid_key(),
    reference("share_instance_id", "share_instances", ondelete="CASCADE", index=False),
    reference("access_id", "share_access_rules", ondelete="CASCADE"),
    sa.Column("state", sa.String(36), nullable=False),
    *timestamps(),
    sa.UniqueConstraint("share_instance_id", "access_id"),
)
