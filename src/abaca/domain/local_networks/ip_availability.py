"""How many addresses of local networks may be given out, and how many of them are taken: all that
may not be given out now (ports, machines, what was set aside)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import local_networks, local_subnets
from abaca.domain.local_networks import listing, local_ports
from abaca.domain.local_networks import local_networks as networks
from abaca.errors import Missing
from abaca.networks.address_pool import AddressPool, AddressRange
from abaca.values import Caller

FILTERS = ("network_id", "network_name", "project_id", "ip_version")
_COLUMNS = {"network_id": "id", "network_name": "name"}


def find(
    conn: Connection,
    caller: Caller,
    filters: Mapping[str, Sequence[Any]],
    *,
    limit: int | None = None,
    marker: str | None = None,
) -> list[dict[str, Any]]:
    """Of the networks that the caller sees, in the order of their ids, after `marker`. `filters`:
    any of FILTERS → the values that match; with `ip_version` only such subnets are counted."""
    families = filters.get("ip_version")
    of_networks = {name: values for name, values in filters.items() if name != "ip_version"}
    asked = listing.part(
        sa.select(local_networks).where(networks.visible(caller)),
        local_networks,
        lambda name: local_networks.c[_COLUMNS.get(name, name)],
        of_networks,
        limit,
        marker,
    )
    return _counted(conn, asked, families)


def get(conn: Connection, caller: Caller, network_id: str) -> dict[str, Any]:
    """Of one network. Raises Missing."""
    found = find(conn, caller, {"network_id": [network_id]})
    if not found:
        raise Missing(f"Network {network_id} could not be found.")
    return found[0]


def _counted(
    conn: Connection, asked: sa.Select[Any], families: Collection[int] | None
) -> list[dict[str, Any]]:
    """In three statements, however many there are: more than the ids that one can name."""
    of_these = local_subnets.c.network_id.in_(asked.with_only_columns(local_networks.c.id))
    query = sa.select(local_subnets).where(of_these)
    if families is not None:
        query = query.where(local_subnets.c.ip_version.in_(families))
    found = conn.execute(asked).all()
    subnets = conn.execute(query.order_by(local_subnets.c.id)).all()
    not_free = local_ports.not_free(conn, query.with_only_columns(local_subnets.c.id))
    of_network: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for subnet in subnets:
        pool = AddressPool(msgspec.convert(subnet.allocation_pools, list[AddressRange]))
        of_network[subnet.network_id].append(
            {
                "subnet_id": subnet.id,
                "subnet_name": subnet.name,
                "cidr": subnet.cidr,
                "ip_version": subnet.ip_version,
                "total_ips": pool.size,
                "used_ips": pool.size - pool.free(not_free[subnet.id]),
            }
        )
    return [
        {
            "id": network.id,
            "network_id": network.id,
            "network_name": network.name,
            "project_id": network.project_id,
            "total_ips": sum(each["total_ips"] for each in of_network[network.id]),
            "used_ips": sum(each["used_ips"] for each in of_network[network.id]),
            "subnet_ip_availability": of_network[network.id],
        }
        for network in found
    ]
