"""Share group types, with their specs, their share types and the projects that may use them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0031"

_TYPES, _KEY = "share_group_types", "share_group_type_id"
_SPECS, _PROJECTS = "share_group_type_specs", "share_group_type_projects"
_MAPPINGS = "share_group_type_share_type_mappings"


def _create(table: str, *columns: sa.Column[str] | sa.ForeignKeyConstraint, key: str) -> None:
    """A table of what belongs to a type and goes with it."""
    op.create_table(
        table,
        sa.Column(_KEY, sa.String(36), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            [_KEY], [f"{_TYPES}.id"], name=f"fk_{table}_{_KEY}", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(_KEY, key, name=f"pk_{table}"),
    )


def upgrade() -> None:
    op.create_table(
        _TYPES,
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("is_public", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name=f"pk_{_TYPES}"),
        sa.UniqueConstraint("name", name=f"uq_{_TYPES}_name"),
    )
    _create(
        _SPECS,
        sa.Column("spec_key", sa.String(255), nullable=False),
        sa.Column("spec_value", sa.String(255), nullable=False),
        key="spec_key",
    )
    _create(_PROJECTS, sa.Column("project_id", sa.String(255), nullable=False), key="project_id")
    _create(
        _MAPPINGS,
        sa.Column("share_type_id", sa.String(36), nullable=False),
        sa.ForeignKeyConstraint(
            ["share_type_id"], ["share_types.id"], name=f"fk_{_MAPPINGS}_share_type_id"
        ),
        key="share_type_id",
    )
    op.create_index(f"ix_{_MAPPINGS}_share_type_id", _MAPPINGS, ["share_type_id"])


def downgrade() -> None:
    for table in (_MAPPINGS, _PROJECTS, _SPECS, _TYPES):
        op.drop_table(table)
