"""Subnets of local networks: ranges that do not overlap inside a network, a gateway, and the pools
that addresses are given from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.addresses import Address, Network, plain_address, plain_network, special_part
from abaca.db.session import lock_row, utcnow
from abaca.db.tables import local_addresses_set_aside, local_networks, local_subnets
from abaca.domain.local_networks import listing
from abaca.domain.local_networks import local_networks as networks
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room
from abaca.errors import Conflict, Forbidden, Invalid, Missing
from abaca.networks.address_pool import (
    AddressRange,
    checked_ranges,
    default_ranges,
    first_host,
    last_host,
)
from abaca.values import Caller

FIRST_HOST = "first host"
"""As `gateway_ip`: the first address of the range; None means no gateway at all."""

MOST_POOLS = 64  # of one subnet
FILTERS = (
    "id",
    "name",
    "description",
    "project_id",
    "network_id",
    "cidr",
    "ip_version",
    "gateway_ip",
)


def create(
    conn: Connection,
    caller: Caller,
    *,
    network_id: str,
    cidr: str,
    ip_version: int,
    name: str = "",
    description: str = "",
    gateway_ip: str | None = FIRST_HOST,
    allocation_pools: Sequence[tuple[str, str]] | None = None,
    project_id: str | None = None,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any]:
    """A subnet, of the network's project (`project_id` may say so). The view of the new subnet.

    `allocation_pools`: first and last address of each; None: every host address but the gateway.
    Raises Invalid (malformed, too small, or overlapping another subnet of the network), Conflict
    (pools that overlap or hold the gateway).
    """
    owner = networks.lock_owned(conn, caller, network_id)
    if project_id not in (None, owner.project_id):
        raise Invalid(f"A subnet belongs to the project of its network, {owner.project_id}.")
    network = _network(cidr, ip_version)
    gateway = _gateway(network, gateway_ip)
    ranges = _ranges(network, gateway, allocation_pools)
    there = local_subnets.c.network_id == network_id
    require_room(
        conn,
        "subnets_per_local_network",
        limits.subnets_per_local_network,
        there,
        f"network {network_id}",
    )
    _refuse_overlap(conn, network_id, network)
    subnet_id = str(uuid4())
    conn.execute(
        sa.insert(local_subnets).values(
            id=subnet_id,
            network_id=network_id,
            project_id=owner.project_id,
            name=name,
            description=description,
            cidr=str(network),
            ip_version=network.version,
            gateway_ip=gateway and str(gateway),
            allocation_pools=msgspec.to_builtins(ranges),
            created_at=utcnow(),
        )
    )
    return get(conn, caller, subnet_id)


def get(conn: Connection, caller: Caller, subnet_id: str) -> dict[str, Any]:
    """One subnet. Missing when it is not there or on a network that the caller does not see."""
    row = (
        conn.execute(_visible(caller).where(local_subnets.c.id == subnet_id))
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise Missing(f"Subnet {subnet_id} could not be found.")
    return dict(row)


def find(
    conn: Connection,
    caller: Caller,
    filters: Mapping[str, Sequence[Any]],
    *,
    limit: int | None = None,
    marker: str | None = None,
) -> list[dict[str, Any]]:
    """Subnets in the order of their ids, after `marker`. `filters`: any of FILTERS → the values
    that match."""
    column = local_subnets.c.__getitem__
    query = listing.part(_visible(caller), local_subnets, column, filters, limit, marker)
    return [dict(row) for row in conn.execute(query).mappings()]


def update(
    conn: Connection, caller: Caller, subnet_id: str, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """Change name, description, and the allocation pools.

    Addresses that are given stay with whoever has them, in the new pools or not. Those that were
    set aside may be given again: whoever sets the pools has thought about them.
    """
    subnet = _lock_owned(conn, caller, subnet_id)
    values = {"updated_at": utcnow(), **changes}
    if "allocation_pools" in changes:
        gateway = subnet["gateway_ip"] and plain_address(subnet["gateway_ip"])
        ranges = _ranges(plain_network(subnet["cidr"]), gateway, changes["allocation_pools"])
        values["allocation_pools"] = msgspec.to_builtins(ranges)
        there = local_addresses_set_aside.c.subnet_id
        conn.execute(sa.delete(local_addresses_set_aside).where(there == subnet_id))
    conn.execute(sa.update(local_subnets).where(local_subnets.c.id == subnet_id).values(values))
    return get(conn, caller, subnet_id)


def delete(conn: Connection, caller: Caller, subnet_id: str) -> None:
    """Delete a subnet. Conflict when addresses are given on it or a share network is on it."""
    _lock_owned(conn, caller, subnet_id)
    if networks.in_use(conn, [subnet_id]):
        raise Conflict(
            f"Unable to complete operation on subnet {subnet_id}: share networks or share servers "
            "use it."
        )
    conn.execute(sa.delete(local_subnets).where(local_subnets.c.id == subnet_id))


def hold_networks(conn: Connection, network_ids: Iterable[str]) -> None:
    """Hold the rows of these networks before subnets are created on several of them: always in the
    same order, so that two such requests do not wait for each other."""
    for network_id in sorted(set(network_ids)):
        lock_row(conn, local_networks, network_id)


def _visible(caller: Caller) -> sa.Select[Any]:
    return sa.select(local_subnets).join(local_networks).where(networks.visible(caller))


def _lock_owned(conn: Connection, caller: Caller, subnet_id: str) -> dict[str, Any]:
    """The subnet, held, as it is while addresses of it are given."""
    view = get(conn, caller, subnet_id)
    if not caller.is_admin and view["project_id"] != caller.project_id:
        raise Forbidden(f"The subnet {subnet_id} belongs to another project.")
    if lock_row(conn, local_subnets, subnet_id) is None:
        raise Missing(f"Subnet {subnet_id} could not be found.")
    return view


def _network(cidr: str, version: int) -> Network:
    try:
        network = plain_network(cidr)
    except ValueError as error:
        raise Invalid(f"Invalid input for cidr: {error}.") from None
    if network.version != version:
        raise Invalid(f"The cidr {cidr} is not of IP version {version}.")
    if network.num_addresses < 4 or network.prefixlen == 0:
        raise Invalid(
            f"The prefix length of {network} leaves no room for a gateway and a host, or for "
            "anything else."
        )
    special = special_part(network)
    if special is not None:
        raise Invalid(f"{network} is not a range for hosts: it overlaps {special}.")
    return network


def _gateway(network: Network, text: str | None) -> Address | None:
    if text is None:
        return None
    if text == FIRST_HOST:
        return first_host(network)
    try:
        gateway = plain_address(text)
    except ValueError:
        raise Invalid(f"Invalid input for gateway_ip: '{text}' is not an address.") from None
    if gateway not in network or not int(first_host(network)) <= int(gateway) <= int(
        last_host(network)
    ):
        raise Invalid(f"Gateway {gateway} is not a host address of {network}.")
    return gateway


def _ranges(
    network: Network, gateway: Address | None, pools: Sequence[tuple[str, str]] | None
) -> list[AddressRange]:
    if pools is None:
        return default_ranges(network, gateway)
    if len(pools) > MOST_POOLS:
        raise Invalid(f"A subnet has at most {MOST_POOLS} allocation pools, not {len(pools)}.")
    return checked_ranges(
        network, gateway, [AddressRange(start=start, end=end) for start, end in pools]
    )


def _refuse_overlap(conn: Connection, network_id: str, network: Network) -> None:
    """Call it with the network's row held."""
    others = conn.execute(
        sa.select(local_subnets.c.id, local_subnets.c.cidr).where(
            local_subnets.c.network_id == network_id
        )
    ).all()
    for subnet_id, cidr in others:
        if network.overlaps(ip_network(cidr)):
            raise Invalid(
                f"Requested subnet with cidr {network} for network {network_id} overlaps with "
                f"subnet {subnet_id} ({cidr})."
            )
