"""Shares have snapshots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _times() -> list[sa.Column[object]]:
    return [
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
    ]


def upgrade() -> None:
    op.create_table(
        "share_snapshots",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255)),
        sa.Column("share_id", sa.String(36), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("share_proto", sa.String(255), nullable=False),
        sa.Column("display_name", sa.String(255)),
        sa.Column("display_description", sa.String(255)),
        sa.Column("metadata", sa.JSON, nullable=False),
        *_times(),
        sa.PrimaryKeyConstraint("id", name="pk_share_snapshots"),
        sa.ForeignKeyConstraint(["share_id"], ["shares.id"], name="fk_share_snapshots_share_id"),
    )
    op.create_index("ix_share_snapshots_share_id", "share_snapshots", ["share_id"])
    op.create_index(
        "ix_share_snapshots_project_id_created_at", "share_snapshots", ["project_id", "created_at"]
    )
    op.create_table(
        "share_snapshot_instances",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("snapshot_id", sa.String(36), nullable=False),
        sa.Column("share_instance_id", sa.String(36), nullable=False),
        sa.Column("status", sa.String(36), nullable=False),
        sa.Column("provider_location", sa.String(255)),
        *_times(),
        sa.PrimaryKeyConstraint("id", name="pk_share_snapshot_instances"),
        sa.UniqueConstraint("snapshot_id", name="uq_share_snapshot_instances_snapshot_id"),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["share_snapshots.id"],
            name="fk_share_snapshot_instances_snapshot_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["share_instance_id"],
            ["share_instances.id"],
            name="fk_share_snapshot_instances_share_instance_id",
        ),
    )
    op.create_index(
        "ix_share_snapshot_instances_share_instance_id",
        "share_snapshot_instances",
        ["share_instance_id"],
    )
    op.create_index("ix_share_snapshot_instances_status", "share_snapshot_instances", ["status"])
    op.create_table(
        "share_snapshot_export_locations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("share_snapshot_instance_id", sa.String(36), nullable=False),
        sa.Column("path", sa.String(2000), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("preferred", sa.Boolean, nullable=False),
        sa.Column("is_admin_only", sa.Boolean, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        *_times(),
        sa.PrimaryKeyConstraint("id", name="pk_share_snapshot_export_locations"),
        sa.ForeignKeyConstraint(
            ["share_snapshot_instance_id"],
            ["share_snapshot_instances.id"],
            name="fk_share_snapshot_export_locations_share_snapshot_instance_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_share_snapshot_export_locations_share_snapshot_instance_id",
        "share_snapshot_export_locations",
        ["share_snapshot_instance_id"],
    )
    with op.batch_alter_table("quota_usages") as batch:
        for resource in ("snapshots", "snapshot_gigabytes"):
            batch.add_column(sa.Column(resource, sa.BigInteger, nullable=False, server_default="0"))
    with op.batch_alter_table("quota_usages") as batch:
        for resource in ("snapshots", "snapshot_gigabytes"):
            batch.alter_column(
                resource, existing_type=sa.BigInteger, existing_nullable=False, server_default=None
            )


def downgrade() -> None:
    with op.batch_alter_table("quota_usages") as batch:
        for resource in ("snapshots", "snapshot_gigabytes"):
            batch.drop_column(resource)
    for table in ("share_snapshot_export_locations", "share_snapshot_instances", "share_snapshots"):
        op.drop_table(table)
