"""Deleting share servers in a pass: each server is checked again with its share network's row
locked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from abaca.db.session import begin, lock_row, read
from abaca.db.tables import share_networks, share_servers
from abaca.domain.share_servers import share_servers as servers


def delete_each(
    engine: Engine,
    wanted: sa.Select[Any],
    may_go: Callable[[Connection, str], bool] = lambda *_: True,
) -> None:
    """Start the deletion of the share servers that the query `wanted` returns, each in its own
    transaction.

    `may_go(conn, id)`: a last check.
    """
    with read(engine) as conn:
        candidates = conn.execute(wanted).all()
    for candidate in candidates:
        with begin(engine) as conn:
            lock_row(conn, share_networks, candidate.share_network_id)
            still = conn.execute(wanted.where(share_servers.c.id == candidate.id)).all()
            if still and may_go(conn, candidate.id):
                servers.start_deletion(conn, still)
