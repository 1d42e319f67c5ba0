"""Which projects may use a share type that is not public. What a type is: `share_types`."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row
from abaca.db.tables import share_type_projects, share_types
from abaca.errors import Conflict, Missing


def find(conn: Connection, type_id: str) -> list[dict[str, str]]:
    """The projects, as share_type_id and project_id. Raises Missing if the type does not exist, or
    is public and so has no list."""
    share_type = conn.execute(
        sa.select(share_types.c.is_public).where(share_types.c.id == type_id)
    ).one_or_none()
    if share_type is None:
        raise _missing(type_id)
    if share_type.is_public:
        raise Missing("Access list not available for public share types.")
    table = share_type_projects
    return [
        dict(row)
        for row in conn.execute(
            sa.select(table).where(table.c.share_type_id == type_id).order_by(table.c.project_id)
        ).mappings()
    ]


def add(conn: Connection, type_id: str, project_id: str) -> None:
    """Open a type to a project. Raises Missing, Conflict (public, or already open to the
    project)."""
    _lock_private(conn, type_id)
    if (
        conn.execute(_entry(sa.select(share_type_projects), type_id, project_id)).first()
        is not None
    ):
        raise Conflict(
            f"Share type access for {type_id} / {project_id} combination already exists."
        )
    conn.execute(
        sa.insert(share_type_projects).values(share_type_id=type_id, project_id=project_id)
    )


def remove(conn: Connection, type_id: str, project_id: str) -> None:
    """Close a type to a project; its shares of that type stay. Raises Missing (no such type or
    access), Conflict (public)."""
    _lock_private(conn, type_id)
    if not conn.execute(_entry(sa.delete(share_type_projects), type_id, project_id)).rowcount:
        raise Missing(f"Share type access not found for {type_id} / {project_id} combination.")


def _lock_private(conn: Connection, type_id: str) -> None:
    share_type = lock_row(conn, share_types, type_id)
    if share_type is None:
        raise _missing(type_id)
    if share_type.is_public:
        raise Conflict(
            f"Type access modification is not applicable to public share type {type_id}."
        )


def _entry(statement: Any, type_id: str, project_id: str) -> Any:
    return statement.where(
        share_type_projects.c.share_type_id == type_id,
        share_type_projects.c.project_id == project_id,
    )


def _missing(type_id: str) -> Missing:
    return Missing(f"Share type {type_id} could not be found.")
