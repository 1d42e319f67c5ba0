"""Share group types, their specs, the share types that their groups may hold, and the projects that
may use those that are not public."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db.tables.registry import metadata, reference, timestamps, uuid_key


def _of_type() -> sa.Column[str]:
    return reference("share_group_type_id", "share_group_types", ondelete="CASCADE", index=False)


share_group_types = sa.Table(
    "share_group_types",
    metadata,
    uuid_key(),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    sa.Column("is_public", sa.Boolean, nullable=False, default=True),
    *timestamps(),
)

share_group_type_specs = sa.Table(
    "share_group_type_specs",
    metadata,
    _of_type(),
    sa.Column("spec_key", sa.String(255), nullable=False),
    sa.Column("spec_value", sa.String(255), nullable=False),
    sa.PrimaryKeyConstraint("share_group_type_id", "spec_key"),
)

share_group_type_projects = sa.Table(
    "share_group_type_projects",
    metadata,
    _of_type(),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.PrimaryKeyConstraint("share_group_type_id", "project_id"),
)

# A share type stays while a group type names it.
share_group_type_share_type_mappings = sa.Table(
    "share_group_type_share_type_mappings",
    metadata,
    _of_type(),
    reference("share_type_id", "share_types"),
    sa.PrimaryKeyConstraint("share_group_type_id", "share_type_id"),
)
