"""Machines that hosts have put on local networks (`abaca client`): who has which address where, so
that other hosts send it there."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.addresses import plain_address
from abaca.db.session import lock_row, utcnow
from abaca.db.tables import local_machines, local_networks, local_ports, local_subnets
from abaca.domain.local_networks import forwarding
from abaca.errors import Conflict, Missing


def put(
    conn: Connection,
    *,
    network_id: str,
    host: str,
    name: str,
    mac_address: str,
    ip_addresses: Sequence[str],
) -> None:
    """A machine of `host` is on the network with these addresses, beside those that it has. May be
    repeated. Conflict when somebody else on the network has an address, or the MAC address."""
    if lock_row(conn, local_networks, network_id) is None:
        raise Missing(f"Network {network_id} could not be found.")
    wanted = {str(plain_address(address)) for address in ip_addresses}
    on = sa.select(local_machines).where(local_machines.c.network_id == network_id)
    same = local_machines.c.ip_address.in_(wanted) | (local_machines.c.mac_address == mac_address)
    found = conn.execute(on.where(same)).all()
    for row in found:
        if (row.host, row.name) != (host, name):
            raise Conflict(
                f"The machine {row.name} of host {row.host} has the address "
                f"{row.ip_address if row.ip_address in wanted else mac_address}."
            )
    given = conn.scalars(
        sa.select(local_ports.c.ip_address)
        .join(local_subnets)
        .where(local_subnets.c.network_id == network_id, local_ports.c.ip_address.in_(wanted))
    ).all()
    if given:
        raise Conflict(f"A share server has the address {given[0]}.")
    rows = [
        {
            "id": str(uuid4()),
            "network_id": network_id,
            "host": host,
            "name": name,
            "mac_address": mac_address,
            "ip_address": address,
            "created_at": utcnow(),
        }
        for address in sorted(wanted - {row.ip_address for row in found})
    ]
    if rows:
        conn.execute(sa.insert(local_machines), rows)
        forwarding.changed(conn)


def remove(conn: Connection, *, host: str, name: str) -> None:
    """The machine is on no network any more. Nothing there is success."""
    mine = (local_machines.c.host == host) & (local_machines.c.name == name)
    if conn.execute(sa.delete(local_machines).where(mine)).rowcount:
        forwarding.changed(conn)
