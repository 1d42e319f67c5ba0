"""The whole installation in numbers, for metrics: resources by status, back ends, room."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import (
    local_ports,
    local_subnets,
    share_backups,
    share_group_snapshots,
    share_groups,
    share_instance_access_map,
    share_instances,
    share_networks,
    share_servers,
    share_snapshot_instances,
)
from abaca.domain.capacity import placement, share_usages
from abaca.domain.capacity.share_usages import ProjectUsage, ShareUsage
from abaca.domain.services import hosts, services
from abaca.networks.address_pool import AddressPool, AddressRange
from abaca.scheduler.filters.capacity import room_gb
from abaca.values import Pool

_GIB = 1024**3
_CAN_RUN_OUT = 2**32
"""Addresses: of a subnet with more (a /64 has 2**64) nobody needs to know how many are left."""


class PoolRoom(NamedTuple):
    """A pool (host@backend#pool) in bytes: its size, free space, the sizes of its shares, what
    snapshots take beside them, and how much further shares may be promised."""

    pool: str
    size: int
    free: int
    allocated: int
    snapshots: int
    room: int


class Addresses(NamedTuple):
    """Of a subnet of a local network: in use, and free (None: practically unlimited)."""

    used: int
    free: int | None


class Overview(NamedTuple):
    """`statuses`: (kind of resource, status) → how many. `back_ends`: as `services.find` returns
    them. `hosts`: as `hosts.find` does. `addresses`: by subnet id. `shares`: None if not
    requested."""

    statuses: dict[tuple[str, str], int]
    back_ends: list[dict[str, Any]]
    hosts: list[dict[str, Any]]
    pools: list[PoolRoom]
    projects: list[ProjectUsage]
    shares: list[ShareUsage] | None
    addresses: dict[str, Addresses]


_STATUSES = {
    "share": share_instances.c.status,
    "snapshot": share_snapshot_instances.c.status,
    "share_server": share_servers.c.status,
    "share_network": share_networks.c.status,
    "share_group": share_groups.c.status,
    "share_group_snapshot": share_group_snapshots.c.status,
    "backup": share_backups.c.status,
    "access_rule": share_instance_access_map.c.state,
}


def get(conn: Connection, *, per_share: bool = False) -> Overview:
    """In thirteen statements, fourteen with each share, however large the installation is."""
    statuses: dict[tuple[str, str], int] = {}
    for noun, column in _STATUSES.items():
        for status, number in conn.execute(sa.select(column, sa.func.count()).group_by(column)):
            statuses[noun, status] = number
    return Overview(
        statuses=statuses,
        back_ends=services.find(conn, {}),
        hosts=hosts.find(conn),
        pools=[_room(pool) for pool in placement.candidates(conn)],
        projects=share_usages.by_project(conn),
        shares=share_usages.by_share(conn) if per_share else None,
        addresses=_addresses(conn),
    )


def _room(pool: Pool) -> PoolRoom:
    stats = pool.stats
    return PoolRoom(
        pool=str(pool.host),
        size=_bytes(stats.total_capacity_gb),
        free=_bytes(stats.free_capacity_gb),
        allocated=_bytes(pool.allocated_capacity_gb),
        snapshots=_bytes(stats.snapshot_capacity_gb),
        room=_bytes(room_gb(pool)),
    )


def _bytes(gib: float) -> int:
    return max(0, round(gib * _GIB))


def _addresses(conn: Connection) -> dict[str, Addresses]:
    given: defaultdict[str, list[str]] = defaultdict(list)
    for subnet_id, address in conn.execute(
        sa.select(local_ports.c.subnet_id, local_ports.c.ip_address)
    ):
        given[subnet_id].append(address)
    found: dict[str, Addresses] = {}
    for id_, ranges in conn.execute(
        sa.select(local_subnets.c.id, local_subnets.c.allocation_pools)
    ):
        pool = AddressPool([AddressRange(**each) for each in ranges])
        free = pool.free(given[id_]) if pool.size <= _CAN_RUN_OUT else None
        found[id_] = Addresses(len(given[id_]), free)
    return found
