"""What a project is told of addresses that it cannot have, because other machines use them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_servers
from abaca.domain.share_networks import share_network_messages


def tell(conn: Connection, share_server_id: str, addresses: str) -> None:
    """A message about the server's share network. `addresses`: as the project may know them.
    Nothing when the server is gone."""
    query = sa.select(share_servers.c.share_network_id)
    network_id = conn.scalar(query.where(share_servers.c.id == share_server_id))
    if network_id is not None:
        share_network_messages.about_network(
            conn,
            network_id,
            f"Other machines on the network already use {addresses}: a share server gets "
            "other addresses. Keep what other machines use out of the subnet's allocation "
            "pools.",
        )
