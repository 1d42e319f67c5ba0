"""The whole installation in numbers, for those who watch over it: what is in which status, which back ends are up, where room runs out."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import (
    local_ports,
    local_subnets,
    share_access_rules,
    share_instances,
    share_networks,
    share_servers,
    share_snapshot_instances,
)
from abaca.domain import services
from abaca.networks.address_pool import AddressPool, AddressRange


class Overview(NamedTuple):
    """`statuses`: (noun, status) → how many. `back_ends`: host@backend → whether it is up; `unserved`: how many of its share servers serve
    nobody. `free_addresses`: id of a subnet of a local network → addresses that are not given out."""

    statuses: dict[tuple[str, str], int]
    back_ends: dict[str, bool]
    unserved: dict[str, int]
    free_addresses: dict[str, int]


_STATUSES = {
    "share": share_instances.c.status,
    "snapshot": share_snapshot_instances.c.status,
    "share_server": share_servers.c.status,
    "share_network": share_networks.c.status,
    "access_rule": share_access_rules.c.state,
}


def get(conn: Connection) -> Overview:
    """In seven statements, whatever there is."""
    statuses: dict[tuple[str, str], int] = {}
    for noun, column in _STATUSES.items():
        for status, number in conn.execute(sa.select(column, sa.func.count()).group_by(column)):
            statuses[noun, status] = number
    found = services.find(conn, {})
    back_ends = {service["host"]: service["state"] == "up" for service in found}
    unserved = {service["host"]: service["unserved_share_servers"] for service in found}
    return Overview(statuses, back_ends, unserved, _free_addresses(conn))


def _free_addresses(conn: Connection) -> dict[str, int]:
    given = sa.select(local_ports.c.subnet_id, sa.func.count().label("number")).group_by(local_ports.c.subnet_id).subquery()
    query = sa.select(local_subnets.c.id, local_subnets.c.allocation_pools, sa.func.coalesce(given.c.number, 0)).outerjoin(
        given, given.c.subnet_id == local_subnets.c.id
    )
    return {id_: AddressPool([AddressRange(**pool) for pool in pools]).size - used for id_, pools, used in conn.execute(query)}
