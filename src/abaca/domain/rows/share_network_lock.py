"""The row of a share network, which every request that enqueues work on the network or its servers
locks first; and who may see it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row
from abaca.db.tables import share_networks
from abaca.errors import Conflict, Invalid, Missing
from abaca.values import Caller


def visible(caller: Caller) -> sa.Select[Any]:
    """The share networks that a caller may see."""
    query = sa.select(share_networks).where(~share_networks.c.is_deleting)
    return (
        query if caller.is_admin else query.where(share_networks.c.project_id == caller.project_id)
    )


def require_visible(conn: Connection, caller: Caller, share_network_id: str) -> None:
    """Raises Missing unless the caller may see the network."""
    if conn.execute(visible(caller).where(share_networks.c.id == share_network_id)).first() is None:
        raise _missing(share_network_id)


def lock(conn: Connection, caller: Caller, share_network_id: str) -> sa.Row[Any]:
    """The network's row, locked until the transaction ends."""
    network = lock_row(conn, share_networks, share_network_id)
    if (
        network is None
        or network.is_deleting
        or not (caller.is_admin or network.project_id == caller.project_id)
    ):
        raise _missing(share_network_id)
    return network


def refuse_while_changing(network: sa.Row[Any]) -> None:
    """Raises Conflict while the network's share servers are being changed."""
    if network.status == "network_change":
        raise Conflict(
            f"The share network {network.id} is being changed (network_change); try again when it "
            "is active."
        )


def require_active(network: sa.Row[Any]) -> None:
    """Raises Invalid unless the network is active (the answer that clients expect for a share of
    it)."""
    if network.status != "active":
        raise Invalid(
            f"The share network {network.id} is not active but {network.status}; try again when "
            "it is active."
        )


def _missing(share_network_id: str) -> Missing:
    return Missing(f"Share network {share_network_id} could not be found.")
