"""What a project is told of addresses that it cannot have, because other machines use them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_networks, share_servers
from abaca.domain.rows import messages


def tell(conn: Connection, share_server_id: str, ip_addresses: list[str]) -> None:
    """A message about the server's share network. Nothing when the server is gone."""
    network = conn.execute(
        sa.select(share_networks.c.id, share_networks.c.project_id)
        .join(share_servers, share_servers.c.share_network_id == share_networks.c.id)
        .where(share_servers.c.id == share_server_id)
    ).one_or_none()
    if network is None:
        return
    messages.create(
        conn,
        project_id=network.project_id,
        resource_type="SHARE_NETWORK",
        resource_id=network.id,
        action=messages.Action.UPDATE,
        text=f"Other machines on the network already use {', '.join(ip_addresses)}: a share server "
        "gets other addresses. Keep what other machines use out of the subnet's allocation pools.",
    )
