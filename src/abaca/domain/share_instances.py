"""What operations ask and tell of a share instance: where it is, and how what went on with it ended."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import share_instances, shares
from abaca.domain import export_locations, messages, placement, share_servers, states
from abaca.values import ExportLocation, Value


class Place(Value):
    """Where a share instance is: `host` is host@backend#pool."""

    share_id: str
    host: str
    share_server_id: str


def place(conn: Connection, instance_id: str) -> Place | None:
    """Where it is; None when it is gone."""
    row = _row(conn, instance_id)
    return Place(share_id=row.id, host=row.host, share_server_id=row.share_server_id or "") if row else None


def created(conn: Connection, instance_id: str, locations: list[ExportLocation]) -> None:
    """The share is there, under these export locations."""
    row = _existing(conn, instance_id)
    export_locations.replace(conn, instance_id, locations)
    _settle(conn, row, instance_id, "available", progress="100%")


def resized(conn: Connection, instance_id: str, new_size: int) -> None:
    """The share has its new size; room that a shrink freed goes back to the pool."""
    row = _existing(conn, instance_id)
    if new_size < row.size:
        placement.release(conn, row.host, row.size - new_size)
    conn.execute(sa.update(shares).where(shares.c.id == row.id).values(size=new_size, updated_at=utcnow()))
    _settle(conn, row, instance_id, "available")


def not_extended(conn: Connection, instance_id: str, new_size: int) -> None:
    """The share did not grow: the room claimed for it goes back."""
    row = _row(conn, instance_id)
    if row is not None:
        placement.release(conn, row.host, new_size - row.size)


def remove(conn: Connection, instance_id: str) -> None:
    """The share is gone: take its rows away and give its room back. Nothing there is success."""
    row = _row(conn, instance_id)
    if row is not None:
        placement.release(conn, row.host, row.size)
        conn.execute(sa.delete(shares).where(shares.c.id == row.id))
        share_servers.mark_unused_since_now(conn, row.share_server_id)


def fail(conn: Connection, instance_id: str, status: str, action: messages.Action, reason: str) -> None:
    """Set the status after a failure and tell the project why. Nothing to do when the share is gone."""
    row = _row(conn, instance_id)
    if row is not None:
        _settle(conn, row, instance_id, status)
        messages.create(conn, project_id=row.project_id, resource_type="SHARE", resource_id=row.id, action=action, text=reason)


def _settle(conn: Connection, row: sa.Row[Any], instance_id: str, status: str, **changes: Any) -> None:
    """The work has ended so; a status that an administrator has set or a forced deletion has begun meanwhile stays."""
    if states.may_follow(states.SHARE, row.status, status):
        states.move(conn, states.SHARE, instance_id, status, **changes)


def _row(conn: Connection, instance_id: str) -> sa.Row[Any] | None:
    return conn.execute(
        sa.select(shares, share_instances.c.host, share_instances.c.share_server_id, share_instances.c.status)
        .join(share_instances, share_instances.c.share_id == shares.c.id)
        .where(share_instances.c.id == instance_id)
        .with_for_update()
    ).one_or_none()


def _existing(conn: Connection, instance_id: str) -> sa.Row[Any]:
    row = _row(conn, instance_id)
    if row is None:
        raise LookupError(f"share instance {instance_id} is gone")
    return row
