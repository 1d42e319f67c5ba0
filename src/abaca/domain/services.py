"""Services: the back ends of workers, as administrators see them. Signs of life are the worker's business."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import availability_zones, services
from abaca.errors import Missing

BINARY = "manila-share"


def find(conn: Connection, filters: dict[str, str]) -> list[dict[str, Any]]:
    """Services by id: id, binary, host, zone, status (enabled, disabled), state (up, down), updated_at. `filters`: any of these but the last."""
    query = (
        sa.select(services, availability_zones.c.name.label("zone"))
        .join(availability_zones, availability_zones.c.id == services.c.availability_zone_id)
        .order_by(services.c.id)
    )
    views = [_view(row) for row in conn.execute(query).mappings()]
    return [view for view in views if all(str(view[name]) == wanted for name, wanted in filters.items())]


def set_disabled(conn: Connection, *, host: str, binary: str, disabled: bool) -> None:
    """Take a back end out of the choice for new shares, or back in. What is there already is served either way. Raises Missing."""
    changed = conn.execute(
        sa.update(services).where(services.c.host == host, services.c.binary == binary).values(disabled=disabled)
    ).rowcount
    if not changed:
        raise Missing(f"Service {binary} could not be found on host {host}.")


def _view(row: sa.RowMapping) -> dict[str, Any]:
    return {
        "id": row["id"],
        "binary": row["binary"],
        "host": row["host"],
        "zone": row["zone"],
        "status": "disabled" if row["disabled"] else "enabled",
        "state": "up" if row["is_ready"] and row["expires_at"] > utcnow() else "down",
        "updated_at": row["updated_at"],
    }
