"""Machines of others on the networks of a scene: what they use, and what a server gets first."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import (
    local_addresses_set_aside,
    local_ports,
    local_subnets,
    share_network_subnets,
)
from abaca.drivers.fake import FakeDriver
from abaca.networks.address_pool import AddressPool, AddressRange
from abaca.networks.local import PortKey
from tests.stack import Stack


def put_neighbours(stack: Stack, *addresses: str, backend: str = "alpha") -> None:
    """Machines use these addresses, or prefixes, on the networks of a fake back end."""
    state_file = Path(stack.conf.state_dir, "worker", f"{backend}.json")
    FakeDriver(backend, {"state_file": str(state_file)}).set_neighbours(*addresses)


def make_flat(conn: Connection, share_network_id: str) -> None:
    """The subnets of a share network are on a flat network, so that others can be there."""
    conn.execute(
        sa.update(share_network_subnets)
        .where(share_network_subnets.c.share_network_id == share_network_id)
        .values(network_type="flat", segmentation_id=None, physical_network="physnet1")
    )


def first_address(conn: Connection, server_id: str, share_network_subnet_id: str) -> str:
    """What the server is given on the subnet before anything is set aside there."""
    subnet = conn.execute(
        sa.select(local_subnets.c.id, local_subnets.c.allocation_pools)
        .join(
            share_network_subnets,
            share_network_subnets.c.neutron_subnet_id == local_subnets.c.id,
        )
        .where(share_network_subnets.c.id == share_network_subnet_id)
    ).one()
    key = PortKey(server_id=server_id, share_network_subnet_id=share_network_subnet_id, position=0)
    taken = conn.scalars(
        sa.select(local_ports.c.ip_address).where(local_ports.c.subnet_id == subnet.id)
    )
    pool = AddressPool([AddressRange(**each) for each in subnet.allocation_pools])
    return pool.pick([str(key)], list(taken))[0]


def set_aside(stack: Stack) -> set[str]:
    return stack.ask(
        lambda conn: set(conn.scalars(sa.select(local_addresses_set_aside.c.ip_address)))
    )
