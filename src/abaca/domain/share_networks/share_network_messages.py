"""Messages to the project of a share network, about a change of the network or of a subnet."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_network_subnets, share_networks
from abaca.domain.rows import messages
from abaca.domain.rows.messages import Action, Detail


def about_network(
    conn: Connection, share_network_id: str, text: str, *, repeats: bool = True
) -> None:
    """Tell the project; nobody when the network is gone. `repeats`: see `messages.create`."""
    project_id = conn.scalar(_projects().where(share_networks.c.id == share_network_id))
    if project_id is not None:
        messages.create(
            conn,
            project_id=project_id,
            resource_type="SHARE_NETWORK",
            resource_id=share_network_id,
            action=Action.UPDATE,
            text=text,
            repeats=repeats,
        )


def about_subnet(
    conn: Connection,
    subnet_id: str,
    text: str,
    *,
    share_network_id: str | None = None,
    detail: Detail = Detail.UNKNOWN_ERROR,
) -> None:
    """Tell the project; nobody when the subnet is gone, unless its network is named."""
    if share_network_id is not None:
        query = _projects().where(share_networks.c.id == share_network_id)
    else:
        of_subnet = share_network_subnets.c.id == subnet_id
        query = _projects().join(share_network_subnets).where(of_subnet)
    project_id = conn.scalar(query)
    if project_id is not None:
        messages.create(
            conn,
            project_id=project_id,
            resource_type="SHARE_NETWORK_SUBNET",
            resource_id=subnet_id,
            action=Action.UPDATE,
            detail=detail,
            text=text,
        )


def _projects() -> sa.Select[Any]:
    return sa.select(share_networks.c.project_id)
