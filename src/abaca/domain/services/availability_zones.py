"""Availability zones, which are created with the first back end that names them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import availability_zones
from abaca.errors import Missing


def find(conn: Connection) -> list[dict[str, Any]]:
    """All zones by name: id, name, created_at, updated_at."""
    return [
        dict(row)
        for row in conn.execute(
            sa.select(availability_zones).order_by(availability_zones.c.name)
        ).mappings()
    ]


def get(conn: Connection, id_or_name: str) -> dict[str, Any]:
    """The zone of that id or name. Raises Missing."""
    column = availability_zones.c
    query = sa.select(availability_zones).where(
        sa.or_(column.id == id_or_name, column.name == id_or_name)
    )
    row = conn.execute(query.order_by(column.id != id_or_name).limit(1)).mappings().one_or_none()
    if row is None:
        raise Missing(f"Availability zone {id_or_name} could not be found.")
    return dict(row)


def ensure(conn: Connection, name: str) -> str:
    """The id of the zone of that name, which is created if necessary."""
    known: str | None = conn.scalar(
        sa.select(availability_zones.c.id).where(availability_zones.c.name == name)
    )
    if known is not None:
        return known
    zone_id = str(uuid4())
    conn.execute(sa.insert(availability_zones).values(id=zone_id, name=name, created_at=utcnow()))
    return zone_id
