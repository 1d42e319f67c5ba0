"""Share groups: shares that are together on one pool and one share server; and snapshots of groups,
whose members are rows of `share_snapshots`."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, reference, timestamps, uuid_key

share_groups = sa.Table(
    "share_groups",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255)),
    sa.Column("name", sa.String(255)),
    sa.Column("description", sa.String(255)),
    sa.Column("status", sa.String(36), nullable=False, index=True),
    sa.Column("host", sa.String(255)),  # host@backend#pool; null if no pool was found
    reference("share_group_type_id", "share_group_types"),
    reference("share_network_id", "share_networks", nullable=True),
    reference("share_server_id", "share_servers", nullable=True),
    reference("availability_zone_id", "availability_zones", nullable=True),
    # pool or host, as the pool reported it when the group was placed; null: snapshots of members
    # are taken one after the other
    sa.Column("consistent_snapshot_support", sa.String(255)),
    # no foreign key: the snapshot may go before the group
    sa.Column("source_share_group_snapshot_id", sa.String(36)),
    *timestamps(),
    sa.Index("ix_share_groups_project_id_created_at", "project_id", "created_at"),
)

share_group_share_type_mappings = sa.Table(
    "share_group_share_type_mappings",
    metadata,
    reference("share_group_id", "share_groups", ondelete="CASCADE", index=False),
    reference("share_type_id", "share_types"),
    sa.PrimaryKeyConstraint("share_group_id", "share_type_id"),
)

share_group_snapshots = sa.Table(
    "share_group_snapshots",
    metadata,
    uuid_key(),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255)),
    sa.Column("name", sa.String(255)),
    sa.Column("description", sa.String(255)),
    sa.Column("status", sa.String(36), nullable=False, index=True),
    reference("share_group_id", "share_groups"),
    *timestamps(),
    sa.Index("ix_share_group_snapshots_project_id_created_at", "project_id", "created_at"),
)
