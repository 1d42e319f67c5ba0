"""Where the ports of local VXLAN networks are: what each host needs to know of the others, and how
large packets between them may be. Who changes where a port is calls `changed`."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import (
    hosts,
    local_machines,
    local_networks,
    local_ports,
    local_subnets,
    services,
    share_servers,
)
from abaca.networks.segment_ranges import VXLAN, VXLAN_BYTES, VXLAN_BYTES_OVER_IPV6
from abaca.values import RemotePort, SpannedNetwork
from abaca.workflow import wakening

MOST_ADDRESSES = 2**17  # that one host is told


def changed(conn: Connection) -> None:
    """Tell the workers, when the transaction commits, to look where ports are."""
    wakening.announce_forwarding(conn)


def of_host(conn: Connection, host: str) -> list[SpannedNetwork]:
    """The VXLAN networks that the host has a port on, with their ports on hosts that have a tunnel
    address. None on or of a host that is fenced. In one statement."""
    ports = _ports()
    here = sa.select(ports.c.network_id).where(ports.c.host == host)
    is_fenced = sa.exists().where(hosts.c.name == host, hosts.c.state == "fenced")
    query = (
        sa.select(
            local_networks.c.id,
            local_networks.c.segmentation_id,
            local_networks.c.mtu,
            ports.c.mac_address,
            ports.c.ip_address,
            hosts.c.tunnel_address,
        )
        .select_from(ports)
        .join(local_networks, local_networks.c.id == ports.c.network_id)
        .join(hosts, hosts.c.name == ports.c.host)
        .where(local_networks.c.network_type == VXLAN, local_networks.c.id.in_(here))
        .where(ports.c.host != host, hosts.c.state != "fenced", hosts.c.tunnel_address.is_not(None))
        .where(~is_fenced)
        .order_by(local_networks.c.id, ports.c.mac_address, ports.c.ip_address)
        .limit(MOST_ADDRESSES)
    )
    networks: dict[str, Any] = {}
    addresses: defaultdict[str, defaultdict[tuple[str, str], list[str]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in conn.execute(query):
        networks[row.id] = row
        addresses[row.id][row.mac_address, row.tunnel_address].append(row.ip_address)
    return [
        SpannedNetwork(
            network_id=id_,
            segmentation_id=row.segmentation_id,
            mtu=row.mtu,
            remote_ports=[
                RemotePort(mac_address=mac, ip_addresses=own, tunnel_address=end)
                for (mac, end), own in addresses[id_].items()
            ],
        )
        for id_, row in networks.items()
    ]


def largest_mtu(conn: Connection) -> int | None:
    """Of a VXLAN network whose packets fit through every host's tunnels. None: no host has any."""
    has_tunnels = hosts.c.tunnel_address.is_not(None) & hosts.c.underlay_mtu.is_not(None)
    query = sa.select(hosts.c.tunnel_address, hosts.c.underlay_mtu).where(has_tunnels)
    found = conn.execute(query).all()
    return min((row.underlay_mtu - tunnel_bytes(row.tunnel_address) for row in found), default=None)


def tunnel_bytes(tunnel_address: str) -> int:
    """What a tunnel between such addresses adds to a packet."""
    return VXLAN_BYTES_OVER_IPV6 if ":" in tunnel_address else VXLAN_BYTES


def _ports() -> sa.Subquery:
    """network_id, host, mac_address and ip_address of each port of share servers and machines."""
    of_servers = (
        sa.select(
            local_subnets.c.network_id,
            sa.func.coalesce(share_servers.c.worker_host, services.c.worker_host).label("host"),
            local_ports.c.mac_address,
            local_ports.c.ip_address,
        )
        .select_from(local_ports)
        .join(local_subnets, local_subnets.c.id == local_ports.c.subnet_id)
        .join(share_servers, share_servers.c.id == local_ports.c.device_id)
        .join(services, services.c.host == share_servers.c.host)
    )
    of_machines = sa.select(
        local_machines.c.network_id,
        local_machines.c.host,
        local_machines.c.mac_address,
        local_machines.c.ip_address,
    )
    return sa.union_all(of_servers, of_machines).subquery("ports")
