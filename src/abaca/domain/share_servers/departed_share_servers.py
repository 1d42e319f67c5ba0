"""Deleted share servers, remembered while the network plug-in may still create addresses that were
requested for them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import departed_share_servers, share_servers


def remember(conn: Connection, share_server_id: str) -> None:
    """Record a server that is being deleted, after its addresses were released."""
    forget(conn, share_server_id)
    leaving = sa.select(
        share_servers.c.id, share_servers.c.host, sa.literal(utcnow(), sa.DateTime)
    ).where(share_servers.c.id == share_server_id)
    conn.execute(
        sa.insert(departed_share_servers).from_select(["id", "host", "departed_at"], leaving)
    )


def due(conn: Connection, hosts: Collection[str], seconds: float) -> list[str]:
    """The ids of servers of these back ends (host@backend) that were deleted at least `seconds`
    ago, the oldest first."""
    table = departed_share_servers
    known = sa.select(table.c.id).where(
        table.c.host.in_(hosts), table.c.departed_at <= utcnow() - timedelta(seconds=seconds)
    )
    return list(conn.scalars(known.order_by(table.c.departed_at, table.c.id)))


def is_remembered(conn: Connection, share_server_id: str) -> bool:
    """Whether the server is recorded and has not been managed again since."""
    table = departed_share_servers
    known = sa.select(table.c.id).where(
        table.c.id == share_server_id, table.c.id.not_in(sa.select(share_servers.c.id))
    )
    return conn.execute(known).one_or_none() is not None


def forget(conn: Connection, share_server_id: str) -> None:
    """Remove the record: no more addresses are expected."""
    conn.execute(
        sa.delete(departed_share_servers).where(departed_share_servers.c.id == share_server_id)
    )
