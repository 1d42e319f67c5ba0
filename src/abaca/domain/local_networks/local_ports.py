"""Ports of local networks: where the `local` network plug-in keeps the addresses that it gives. The
plug-in has the rules, this the rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from abaca.db.session import begin, is_outage, read, utcnow
from abaca.db.tables import (
    local_addresses_set_aside,
    local_machines,
    local_networks,
    local_ports,
    local_rbac_policies,
    local_subnets,
)
from abaca.domain.local_networks import forwarding
from abaca.errors import DatabaseAway
from abaca.networks.address_pool import AddressRange
from abaca.networks.local import LocalSubnet, LockedPorts, Port, PortKey
from abaca.values import NetworkAllocation, Subnet

SubnetIds = Collection[str] | sa.Select[Any]


class SqlPortStore:
    """The `PortStore` in the database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find(self, *, network_id: str | None, subnet_id: str | None) -> list[LocalSubnet]:
        """As the protocol says."""
        query = _subnets()
        if network_id is not None:
            query = query.where(local_subnets.c.network_id == network_id)
        if subnet_id is not None:
            query = query.where(local_subnets.c.id == subnet_id)
        with self._read() as conn:
            return list(_local_subnets(conn, query).values())

    def not_free(self, subnet_id: str) -> Collection[str]:
        """As the protocol says."""
        with self._read() as conn:
            return not_free(conn, [subnet_id])[subnet_id]

    @contextmanager
    def lock(self, subnet_ids: Collection[str]) -> Iterator[LockedPorts]:
        """As the protocol says. Networks are locked before subnets, as where they are deleted, and
        all rows in one order, so that two transactions never wait for each other."""
        on = sa.select(local_subnets.c.network_id).where(local_subnets.c.id.in_(subnet_ids))
        networks = (
            sa.select(local_networks.c.id)
            .where(local_networks.c.id.in_(on))
            .order_by(local_networks.c.id)
        )
        with self._write() as conn:
            conn.execute(networks.with_for_update(read=True)).all()
            query = (
                _subnets().where(local_subnets.c.id.in_(subnet_ids)).order_by(local_subnets.c.id)
            )
            yield _LockedRows(conn, _local_subnets(conn, query.with_for_update(of=local_subnets)))

    def set_aside(self, server_id: str, ip_addresses: Collection[str], until: datetime) -> None:
        """As the protocol says; what was set aside on the same subnets, and is over, goes."""
        mine = (local_ports.c.device_id == server_id) & local_ports.c.ip_address.in_(ip_addresses)
        with self._write() as conn:
            found = conn.execute(
                sa.select(local_ports.c.subnet_id, local_ports.c.ip_address)
                .join(local_subnets)
                .where(mine)
                .order_by(local_ports.c.subnet_id)
                .with_for_update(of=local_subnets)
            ).all()
            if not found:
                return
            there = local_addresses_set_aside.c
            conn.execute(
                sa.delete(local_addresses_set_aside).where(
                    there.subnet_id.in_({row.subnet_id for row in found}),
                    sa.or_(there.expires_at <= utcnow(), there.ip_address.in_(ip_addresses)),
                )
            )
            rows = [
                {"subnet_id": row.subnet_id, "ip_address": row.ip_address, "expires_at": until}
                for row in found
            ]
            conn.execute(sa.insert(local_addresses_set_aside), rows)
            conn.execute(sa.delete(local_ports).where(mine))
            forwarding.changed(conn)

    def delete(self, server_id: str, share_network_subnet_ids: Sequence[str] | None) -> None:
        """As the protocol says."""
        statement = sa.delete(local_ports).where(local_ports.c.device_id == server_id)
        if share_network_subnet_ids is not None:
            statement = statement.where(
                local_ports.c.share_network_subnet_id.in_(share_network_subnet_ids)
            )
        with self._write() as conn:
            conn.execute(statement)
            forwarding.changed(conn)

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        try:
            with read(self._engine) as conn:
                yield conn
        except OperationalError as error:
            raise _sorted(error) from error

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        try:
            with begin(self._engine) as conn:
                yield conn
        except OperationalError as error:
            raise _sorted(error) from error


def _sorted(error: OperationalError) -> Exception:
    """Giving addresses twice gives the same ones, so what becomes of a commit without an answer
    does not matter."""
    return (
        DatabaseAway(f"the database does not answer: {error.orig}") if is_outage(error) else error
    )


class _LockedRows:
    """The `LockedPorts` of one transaction."""

    def __init__(self, conn: Connection, subnets: Mapping[str, LocalSubnet]) -> None:
        self._conn = conn
        self._subnets = subnets

    def subnets(self) -> Mapping[str, LocalSubnet]:
        return self._subnets

    def ports_of(self, server_ids: Collection[str]) -> list[Port]:
        return [
            _port(row)
            for row in self._conn.execute(
                sa.select(local_ports).where(local_ports.c.device_id.in_(server_ids))
            )
        ]

    def taken(self) -> Mapping[str, Collection[str]]:
        taken: dict[str, set[str]] = {subnet_id: set() for subnet_id in self._subnets}
        query = sa.select(local_ports.c.subnet_id, local_ports.c.ip_address).where(
            local_ports.c.subnet_id.in_(taken)
        )
        for subnet_id, address in self._conn.execute(query.union_all(_of_machines(taken))):
            taken[subnet_id].add(address)
        return taken

    def set_aside_now(self) -> Mapping[str, Collection[str]]:
        found: dict[str, set[str]] = {subnet_id: set() for subnet_id in self._subnets}
        for row in self._conn.execute(_set_aside(found)):
            found[row.subnet_id].add(row.ip_address)
        return found

    def add(self, ports: Sequence[Port]) -> None:
        now = utcnow()
        self._conn.execute(
            sa.insert(local_ports),
            [
                {
                    "id": port.allocation.id,
                    "subnet_id": port.subnet_id,
                    "device_id": port.key.server_id,
                    "share_network_subnet_id": port.key.share_network_subnet_id,
                    "position": port.key.position,
                    "ip_address": port.allocation.ip_address,
                    "mac_address": port.allocation.mac_address,
                    "created_at": now,
                }
                for port in ports
            ],
        )
        forwarding.changed(self._conn)

    def move(self, port: Port, key: PortKey) -> None:
        where = {"share_network_subnet_id": key.share_network_subnet_id, "position": key.position}
        self._conn.execute(
            sa.update(local_ports).where(local_ports.c.id == port.allocation.id).values(**where)
        )


def not_free(conn: Connection, subnet_ids: SubnetIds) -> dict[str, set[str]]:
    """The addresses of each of these subnets that may not be given out now, of those that have any;
    one statement."""
    given = sa.select(local_ports.c.subnet_id, local_ports.c.ip_address).where(
        local_ports.c.subnet_id.in_(subnet_ids)
    )
    there = local_addresses_set_aside.c
    aside = _set_aside(subnet_ids).with_only_columns(there.subnet_id, there.ip_address)
    found: dict[str, set[str]] = defaultdict(set)
    for subnet_id, address in conn.execute(given.union_all(aside, _of_machines(subnet_ids))):
        found[subnet_id].add(address)
    return found


def _of_machines(subnet_ids: SubnetIds) -> sa.Select[Any]:
    """Subnets with the addresses of machines on their networks, which may be on other subnets."""
    return (
        sa.select(local_subnets.c.id, local_machines.c.ip_address)
        .join(local_machines, local_machines.c.network_id == local_subnets.c.network_id)
        .where(local_subnets.c.id.in_(subnet_ids))
    )


def _set_aside(subnet_ids: SubnetIds) -> sa.Select[Any]:
    """The addresses of these subnets that are set aside now."""
    there = local_addresses_set_aside.c
    return sa.select(local_addresses_set_aside).where(
        there.subnet_id.in_(subnet_ids), there.expires_at > utcnow()
    )


def _subnets() -> sa.Select[Any]:
    network_columns = (
        local_networks.c.project_id.label("owner"),
        local_networks.c.mtu,
        local_networks.c.network_type,
        local_networks.c.physical_network,
        local_networks.c.segmentation_id,
    )
    return sa.select(local_subnets, *network_columns).join(local_networks)


def _local_subnets(conn: Connection, query: sa.Select[Any]) -> dict[str, LocalSubnet]:
    """By id, with whom they are shared, in two statements."""
    rows = conn.execute(query).all()
    targets: dict[str, set[str]] = defaultdict(set)
    policies = sa.select(
        local_rbac_policies.c.network_id, local_rbac_policies.c.target_project
    ).where(local_rbac_policies.c.network_id.in_({row.network_id for row in rows}))
    for network_id, target in conn.execute(policies):
        targets[network_id].add(target)
    return {row.id: _local_subnet(row, frozenset(targets[row.network_id])) for row in rows}


def _local_subnet(row: sa.Row[Any], shared_with: frozenset[str]) -> LocalSubnet:
    subnet = Subnet(
        neutron_net_id=row.network_id,
        neutron_subnet_id=row.id,
        cidr=row.cidr,
        ip_version=row.ip_version,
        gateway=row.gateway_ip,
        mtu=row.mtu,
        network_type=row.network_type,
        segmentation_id=row.segmentation_id,
        physical_network=row.physical_network,
        is_local=True,
    )
    pools = msgspec.convert(row.allocation_pools, list[AddressRange])
    return LocalSubnet(
        subnet=subnet, project_id=row.owner, shared_with=shared_with, allocation_pools=pools
    )


def _port(row: sa.Row[Any]) -> Port:
    return Port(
        key=PortKey(
            server_id=row.device_id,
            share_network_subnet_id=row.share_network_subnet_id,
            position=row.position,
        ),
        subnet_id=row.subnet_id,
        allocation=NetworkAllocation(
            id=row.id, ip_address=row.ip_address, mac_address=row.mac_address
        ),
    )
