"""The metadata that all tables register in, with names for every constraint, and the columns that
many tables share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from abaca.db.session import utcnow
from abaca.db.versions import IS_OURS

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
    info={IS_OURS: True},
)


def uuid_key() -> sa.Column[str]:
    """The primary key of most tables: UUID text."""
    return sa.Column("id", sa.String(36), primary_key=True)


def timestamps(*, is_version: bool = False) -> tuple[sa.Column[Any], sa.Column[Any]]:
    """`created_at` (set) and `updated_at` (null until the first change), UTC without zone.

    `is_version`: every UPDATE sets `updated_at`, so that another one means another content: the API
    keeps what it made of such rows.
    """
    return sa.Column("created_at", sa.DateTime, nullable=False), sa.Column(
        "updated_at", sa.DateTime, onupdate=utcnow if is_version else None
    )


def reference(
    name: str,
    target: str,
    *,
    nullable: bool = False,
    index: bool = True,
    ondelete: str | None = None,
) -> sa.Column[str]:
    """A foreign key to the `id` of table `target`."""
    return sa.Column(
        name,
        sa.String(36),
        sa.ForeignKey(f"{target}.id", ondelete=ondelete),
        nullable=nullable,
        index=index,
    )
