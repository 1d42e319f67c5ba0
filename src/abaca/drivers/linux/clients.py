"""Client namespaces: a stand-in for a tenant's machine, with interfaces on tenants' networks. For
trying out and for tests.

What a client has is made like a share server's ports, by the same bridges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from ipaddress import ip_interface

from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.routing import IFA_F_NODAD
from abaca.drivers.linux.wires.interface import Port
from abaca.drivers.linux.wires.plugging import BridgePlug, ports_in
from abaca.drivers.linux.wires.port_rules import Role

# Link-local addresses come of MAC addresses: port security knows no others.
CLIENT_SETTINGS = {
    "ipv6/conf/all/disable_ipv6": "0",
    "ipv6/conf/default/disable_ipv6": "0",
    "ipv6/conf/default/addr_gen_mode": "0",
}
OWNER_PREFIX = "client:"


def attach_client(
    namespace_prefix: str,
    network_id: str,
    netns_name: str,
    addresses: Sequence[str],
    mac: str | None = None,
    gateways: Sequence[str] = (),
    mtu: int = 1500,
    forwards: bool = False,
) -> str:
    """Put the network namespace `netns_name` (made when it is not there) on a network; returns the
    name of its interface there.

    `namespace_prefix`: the back end's option `namespace`. `addresses`: with prefix length,
    `10.0.0.20/24`. `gateways`: addresses of routers to everywhere else. `forwards`: it is a router,
    and sends for addresses behind it. Another network may be attached to the same namespace later.
    May be repeated, with more addresses, too.
    """
    namespaces.ensure(netns_name, CLIENT_SETTINGS)
    own = tuple(str(ip_interface(address).ip) for address in addresses)
    mac_address, role = (
        mac or machine_mac(netns_name, network_id),
        Role.ROUTER if forwards else Role.MACHINE,
    )
    port = Port(
        netns_name,
        OWNER_PREFIX + netns_name,
        network_id,
        mac_address,
        mtu,
        addresses=own,
        role=role,
    )
    BridgePlug(namespace_prefix).connect(port)
    namespaces.inside(netns_name, lambda links: _configure(links, port.name, addresses, gateways))
    return port.name


def detach_client(netns_name: str, namespace_prefix: str = "abaca") -> None:
    """Take a client namespace away with its interfaces. Nothing there is success."""
    plug = BridgePlug(namespace_prefix)
    if namespaces.exists(netns_name):
        plug.disconnect(netns_name, sorted(ports_in(netns_name)))
    plug.disconnect_owner(OWNER_PREFIX + netns_name)
    namespaces.remove(netns_name)


def _configure(
    links: IPRoute, interface: str, addresses: Sequence[str], gateways: Sequence[str]
) -> None:
    index = links.link_lookup(ifname=interface)[0]
    for address in map(ip_interface, addresses):
        flags = IFA_F_NODAD if address.version == 6 else 0
        links.addr(
            "replace",
            index=index,
            address=str(address.ip),
            prefixlen=address.network.prefixlen,
            flags=flags,
        )
    for gateway in map(ip_interface, gateways):
        links.route(
            "replace",
            dst="default" if gateway.version == 4 else "::/0",
            gateway=str(gateway.ip),
            oif=index,
        )


def machine_mac(netns_name: str, network_id: str) -> str:
    """Of a client's interface on a network. Locally administered, the same for the same client, so
    that neighbours need not learn it again."""
    digest = hashlib.sha256(f"{netns_name}/{network_id}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))
