"""Snapshots of shares, their instances (one each, until replicas come), and of those that can be
mounted the export locations and their own access rules, with their states on each instance."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, reference, timestamps, uuid_key

share_snapshots = sa.Table(
    "share_snapshots",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255)),
    reference("share_id", "shares"),
    sa.Column("size", sa.Integer, nullable=False),  # GiB: the share's when it was taken
    sa.Column("share_proto", sa.String(255), nullable=False),
    sa.Column("display_name", sa.String(255)),
    sa.Column("display_description", sa.String(255)),
    sa.Column("metadata", sa.JSON, nullable=False),  # {key: value}, text to text
    # the group snapshot that it is a member of; such a one is no snapshot to the API
    reference("share_group_snapshot_id", "share_group_snapshots", nullable=True),
    sa.Column("deletion_deferred_at", sa.DateTime),  # as of shares
    *timestamps(),
    sa.Index("ix_share_snapshots_project_id_created_at", "project_id", "created_at"),
)

share_snapshot_instances = sa.Table(
    "share_snapshot_instances",
    metadata,
    uuid_key(),
    sa.Column(
        "snapshot_id",
        sa.String(36),
        sa.ForeignKey("share_snapshots.id", ondelete="CASCADE"),
        nullable=False,
        unique=True,
    ),
    reference("share_instance_id", "share_instances"),
    sa.Column("status", sa.String(36), nullable=False, index=True),
    sa.Column("provider_location", sa.String(255)),
    *timestamps(),
)

share_snapshot_export_locations = sa.Table(
    "share_snapshot_export_locations",
    metadata,
    uuid_key(),
    reference("share_snapshot_instance_id", "share_snapshot_instances", ondelete="CASCADE"),
    sa.Column("path", sa.String(2000), nullable=False),
    sa.Column("ip_version", sa.Integer),
    # the order shown, kept when locations are added
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("preferred", sa.Boolean, nullable=False, default=False),
    sa.Column("is_admin_only", sa.Boolean, nullable=False, default=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    *timestamps(),
)

share_snapshot_access_rules = sa.Table(
    "share_snapshot_access_rules",
    metadata,
    uuid_key(),
    reference("snapshot_id", "share_snapshots", ondelete="CASCADE", index=False),
    sa.Column("access_type", sa.String(255), nullable=False),
    sa.Column("access_to", sa.String(255), nullable=False),
    *timestamps(),
    sa.UniqueConstraint(
        "snapshot_id", "access_type", "access_to", name="uq_share_snapshot_access_rules_target"
    ),
)

share_snapshot_instance_access_map = sa.Table(
    "share_snapshot_instance_access_map",
    metadata,
    uuid_key(),
    reference("snapshot_instance_id", "share_snapshot_instances", ondelete="CASCADE", index=False),
    reference("access_id", "share_snapshot_access_rules", ondelete="CASCADE"),
    sa.Column("state", sa.String(36), nullable=False),
    *timestamps(),
    sa.UniqueConstraint(
        "snapshot_instance_id", "access_id", name="uq_share_snapshot_instance_access_map_rule"
    ),
)
