"""Share types, their extra specs, and the projects that may use those that are not public."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, reference, timestamps, uuid_key

share_types = sa.Table(
    "share_types",
    metadata,
    uuid_key(),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("description", sa.String(255)),
    sa.Column("is_public", sa.Boolean, nullable=False, default=True),
    *timestamps(is_version=True),
)

share_type_extra_specs = sa.Table(
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

share_type_projects = sa.Table(
    "share_type_projects",
    metadata,
    reference("share_type_id", "share_types", ondelete="CASCADE"),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.PrimaryKeyConstraint("share_type_id", "project_id"),
)
