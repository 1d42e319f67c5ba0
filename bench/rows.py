"""Rows put straight into Abaca's database, where making them through the API would take longer than
what is to be measured.

Shares for the reading benchmarks are on a back end that no worker serves. Share servers for the
additions are complete, with addresses from the network plug-in; the worker that is started
afterwards brings them up on its back end, as it does after every restart.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from abaca.db import tables
from abaca.db.session import begin, is_sqlite, utcnow
from abaca.domain.capacity import quota_usages
from abaca.domain.local_networks import local_networks, local_subnets
from abaca.domain.local_networks.local_ports import SqlPortStore
from abaca.domain.share_networks import share_networks
from abaca.domain.share_types import share_types
from abaca.networks.interface import AllocationRequest
from abaca.networks.local import LocalNetworks
from abaca.values import Caller
from bench.service import PROJECT, SHARE_TYPE

ADMIN = Caller(user_id="bench", project_id=PROJECT, roles=("admin",), is_admin=True)
NETWORKS = 100
_BATCH = 5000
_RANDOM = random.Random(1)


def fill(engine: Engine, count: int) -> list[str]:
    """So many shares of one project, on 100 share networks, two export locations each. A sample of
    their ids."""
    ids = [_uuid() for _ in range(count)]
    with begin(engine) as conn:
        type_id, zone_id = _share_type(conn), _zone(conn)
        pair = _subnet(conn)
        networks = [_share_network(conn, pair) for _ in range(NETWORKS)]
        for start in range(0, count, _BATCH):
            _add_shares(
                conn,
                ids[start : start + _BATCH],
                start,
                type_id=type_id,
                zone_id=zone_id,
                networks=networks,
            )
    analyze(engine)
    return _RANDOM.sample(ids, min(count, 500))


def add_servers(engine: Engine, count: int, hosts: list[str]) -> str:
    """A share network with so many active share servers, spread over these back ends
    (host@backend), a share on each. The network's id."""
    with begin(engine) as conn:
        type_id, zone_id = _share_type(conn), _zone(conn)
        pair = _subnet(conn)
        network_id = _share_network(conn, pair)
        subnet_id = conn.scalar(
            sa.select(tables.share_network_subnets.c.id).where(
                tables.share_network_subnets.c.share_network_id == network_id
            )
        )
        found = conn.execute(
            sa.select(tables.local_subnets).where(tables.local_subnets.c.id == pair[1])
        ).one()
        resolved = {
            "cidr": found.cidr,
            "gateway": found.gateway_ip,
            "ip_version": 4,
            "mtu": 1450,
            "network_type": "vxlan",
            "segmentation_id": 1,
        }
        conn.execute(
            sa.update(tables.share_network_subnets)
            .where(tables.share_network_subnets.c.id == subnet_id)
            .values(**resolved)
        )
    servers = {_uuid(): hosts[number % len(hosts)] for number in range(count)}
    requests = [
        AllocationRequest(
            server_id=id_,
            share_network_subnet_id=str(subnet_id),
            neutron_net_id=pair[0],
            neutron_subnet_id=pair[1],
            count=1,
            project_id=PROJECT,
        )
        for id_ in servers
    ]
    addresses = LocalNetworks({}, SqlPortStore(engine)).allocate(requests)
    with begin(engine) as conn:
        _add_servers(
            conn, servers, network_id, str(subnet_id), pair[1], [given[0] for given in addresses]
        )
        _add_shares(
            conn,
            [_uuid() for _ in servers],
            0,
            type_id=type_id,
            zone_id=zone_id,
            networks=[network_id],
            servers=servers,
        )
    analyze(engine)
    return network_id


def analyze(engine: Engine) -> None:
    """Let PostgreSQL look at its tables, as it does by itself some time after such a change; SQLite
    never does."""
    with begin(engine) as conn:
        if not is_sqlite(conn):
            conn.execute(sa.text("ANALYZE"))


def _add_servers(
    conn: Connection,
    servers: dict[str, str],
    network_id: str,
    subnet_id: str,
    neutron_subnet_id: str,
    allocations: list[Any],
) -> None:
    now = utcnow()
    common = {
        "share_network_id": network_id,
        "project_id": PROJECT,
        "status": "active",
        "network_allocation_update_support": True,
    }
    conn.execute(
        sa.insert(tables.share_servers),
        [{"id": i, "host": host, "created_at": now, **common} for i, host in servers.items()],
    )
    mapped = {"share_network_subnet_id": subnet_id, "is_served": True, "created_at": now}
    conn.execute(
        sa.insert(tables.share_server_share_network_subnet_mappings),
        [{"share_server_id": i, **mapped} for i in servers],
    )
    conn.execute(
        sa.insert(tables.network_allocations),
        [
            {
                "id": allocation.id, "share_server_id": id_, "share_network_subnet_id": subnet_id,
                 "position": 0,
                "neutron_subnet_id": neutron_subnet_id, "ip_address": allocation.ip_address,
                 "mac_address": allocation.mac_address,
                "created_at": now,
            }
            for id_, allocation in zip(servers, allocations, strict=True)
        ],
    )  # fmt: skip


def _add_shares(
    conn: Connection,
    ids: list[str],
    first: int,
    *,
    type_id: str,
    zone_id: str,
    networks: list[str],
    servers: dict[str, str] | None = None,
) -> None:
    now = utcnow()
    places = list(servers.items()) if servers else [(None, "elsewhere@fake")]
    shares: list[dict[str, Any]] = []
    instances, locations = [], []
    for number, id_ in enumerate(ids, first):
        created = now - timedelta(seconds=number)
        instance_id = _uuid()
        server_id, host = places[number % len(places)]
        shares.append(
            {
                "id": id_, "project_id": PROJECT, "user_id": "bench",
                 "display_name": f"share-{number:06}", "size": 1 + number % 50,
                "share_proto": "NFS", "is_public": False,
                 "metadata": {"number": str(number), "group": str(number % 10)},
                  "created_at": created,
            }
        )  # fmt: skip
        instances.append(
            {
                "id": instance_id, "share_id": id_, "share_type_id": type_id,
                 "share_network_id": networks[number % len(networks)],
                "share_server_id": server_id, "availability_zone_id": zone_id,
                 "host": f"{host}#fake",
                "status": "available" if servers or number % 10 else "inactive",
                 "access_rules_status": "active", "created_at": created,
            }
        )  # fmt: skip
        for position in range(1 if servers else 2):
            path = f"10.0.{position}.1:/shares/{instance_id}"
            locations.append(
                {
                    "id": _uuid(), "share_instance_id": instance_id, "path": path,
                     "position": position, "preferred": not position,
                    "metadata": {}, "created_at": created,
                }
            )  # fmt: skip
    for table, rows in (
        (tables.shares, shares),
        (tables.share_instances, instances),
        (tables.share_export_locations, locations),
    ):
        conn.execute(sa.insert(table), rows)
    gigabytes = sum(share["size"] for share in shares)
    quota_usages.claim(
        conn, PROJECT, "bench", type_id, defaults=None, shares=len(shares), gigabytes=gigabytes
    )


def _share_type(conn: Connection) -> str:
    known = conn.scalar(
        sa.select(tables.share_types.c.id).where(tables.share_types.c.name == SHARE_TYPE)
    )
    if known is not None:
        return str(known)
    specs = {"driver_handles_share_servers": "True"}
    return str(
        share_types.create(
            conn, ADMIN, name=SHARE_TYPE, description=None, is_public=True, extra_specs=specs
        )["id"]
    )


def _zone(conn: Connection) -> str:
    table = tables.availability_zones
    known = conn.scalar(sa.select(table.c.id).where(table.c.name == "nova"))
    if known is None:
        known = _uuid()
        conn.execute(sa.insert(table).values(id=known, name="nova", created_at=utcnow()))
    return str(known)


def _subnet(conn: Connection) -> tuple[str, str]:
    network = local_networks.create(conn, ADMIN, name="bench")
    subnet = local_subnets.create(
        conn, ADMIN, network_id=network["id"], cidr="10.0.0.0/16", ip_version=4
    )
    return str(network["id"]), str(subnet["id"])


def _share_network(conn: Connection, pair: tuple[str, str]) -> str:
    made = share_networks.create(
        conn,
        ADMIN,
        name="bench",
        description=None,
        neutron_net_id=pair[0],
        neutron_subnet_id=pair[1],
    )
    return str(made["id"])


def _uuid() -> str:
    return str(UUID(int=_RANDOM.getrandbits(128), version=4))
