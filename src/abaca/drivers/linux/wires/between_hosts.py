"""VXLAN networks of Abaca's own between this host and others: one link a network that has ports on
other hosts, beside the ports of its bridge.

Such a link learns nothing and floods nothing. It sends to the MAC addresses that it was told, and
answers itself who has an address, by ARP and neighbour discovery. What is told was stored by the
service, and whoever has taken over its API could have written it: it is judged here, and ends
outside of the network of `TunnelEnd.address` do not exist. Callers hold the lock of the bridges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from socket import AF_INET, AF_INET6
from typing import Any, NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.rtnl import ndmsg

from abaca.addresses import Address, plain_address
from abaca.drivers.linux import namespaces, packet_filter
from abaca.drivers.linux.layout import safe_id
from abaca.drivers.linux.well_formed import MAC_PATTERN, MTUS, SEGMENTATION_IDS
from abaca.drivers.linux.wires import links as links_module
from abaca.drivers.linux.wires import tunnel_filter
from abaca.drivers.linux.wires.links import find, short_name
from abaca.drivers.linux.wires.uplinks import delete_vxlan, make_only_uplink
from abaca.drivers.linux.wires.wiring import VXLAN_OVERHEAD, underlay
from abaca.errors import BackendError, Refused
from abaca.values import RemotePort, SpannedNetwork, TunnelEnd

_ALIAS = "hosts"
_LEAST_MTU = 1280  # with less a link has no IPv6
_PERMANENT = ndmsg.states["permanent"]
_FORWARDING = {
    "state": ndmsg.states["noarp"] | _PERMANENT,
    "flags": ndmsg.flags["self"],
}


class _Entries(NamedTuple):
    """What a link is told. `ends`: MAC address → tunnel address. `neighbours`: address → MAC
    address. `lacks`: what it is not told, and why."""

    ends: dict[str, str]
    neighbours: dict[str, str]
    lacks: list[str]


class BetweenHosts:
    """Of the bridges in the network namespace `namespace`."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._end: TunnelEnd | None = None
        self._networks: dict[str, SpannedNetwork] = {}  # by bridge
        # the links, and nftables' generation, after the filter was last set
        self._filtered: tuple[object, int] | None = None

    def tell(self, end: TunnelEnd | None, networks: Mapping[str, SpannedNetwork]) -> None:
        """What holds from now on. `networks`: by bridge; of others nothing is on other hosts."""
        self._end, self._networks = end, dict(networks)

    def ensure_all(self) -> list[str]:
        """Bring the links of all bridges that are there to what was told. Returns what could not
        be connected, and why."""
        there = namespaces.inside(self._namespace, _bridges)
        wanted = {bridge for bridge in self._networks if bridge in there}
        named = {self._name(bridge): bridge for bridge in wanted}
        namespaces.inside(self._namespace, lambda links: _delete_others(links, named))
        lacks = [lack for bridge in sorted(wanted) for lack in self._ensured(bridge)]
        if self._filtered != self._now():
            self._filter()
        return lacks

    def ensure(self, bridge: str) -> bool:
        """The same for one bridge, which has just got a port; True when there is something to
        connect it with. What cannot be is told by `ensure_all`."""
        if bridge not in self._networks:
            return False
        self._ensured(bridge)
        return True

    def _ensured(self, bridge: str) -> list[str]:
        assert self._end is not None
        network = self._networks[bridge]
        entries = _Entries({}, {}, [])
        try:
            link = self._link(bridge, network, self._end)
            entries = _entries(network.remote_ports, self._end)
            self._fill(bridge, link, network, entries)
        except (BackendError, ValueError) as error:
            entries.lacks.append(str(error))
        return [f"network {network.network_id}: {lack}" for lack in entries.lacks]

    def _filter(self) -> None:
        tunnel_filter.ensure(self._namespace)
        self._filtered = self._now()

    def _now(self) -> tuple[object, int]:
        links = namespaces.inside(self._namespace, tunnel_filter.vxlans)
        return links, packet_filter.generation()

    def _name(self, bridge: str) -> str:
        """Of the bridge's link; another one when this end or the segment is another one."""
        assert self._end is not None
        network = self._networks[bridge]
        return short_name("h", str(network.segmentation_id), self._end.address, str(self._end.port))

    def _link(self, bridge: str, network: SpannedNetwork, end: TunnelEnd) -> str:
        """The link's name; made when it is not there."""
        local = ip_interface(end.address).ip
        _require(network)
        through = underlay(local, "tunnel_address")
        more = VXLAN_OVERHEAD[local.version]
        if network.mtu + more > through.mtu:
            raise Refused(
                f"its MTU is {network.mtu} and a tunnel needs {more} more, but that of "
                f"{through.name} is {through.mtu}"
            )
        name = self._name(bridge)
        if namespaces.inside(self._namespace, lambda links: find(links, name)) is None:
            namespaces.inside(
                self._namespace, lambda links: delete_vxlan(links, network.segmentation_id)
            )
            with open(namespaces.path_of(self._namespace), "rb") as there:
                link: dict[str, Any] = {
                    "ifname": name,
                    "kind": "vxlan",
                    "net_ns_fd": there.fileno(),
                    "vxlan_id": network.segmentation_id,
                    "vxlan_port": end.port,
                    f"vxlan_local{'6' if local.version == 6 else ''}": str(local),
                    "vxlan_learning": 0,
                    "vxlan_proxy": 1,
                    "mtu": network.mtu,
                }
                namespaces.here(lambda links: links.link("add", **link))
        return name

    def _fill(self, bridge: str, name: str, network: SpannedNetwork, entries: _Entries) -> None:
        def ends(links: IPRoute) -> bool:
            return _set_ends(links, find(links, name)["index"], entries.ends)

        def up(links: IPRoute) -> None:
            # without addresses, but else the kernel keeps no neighbours there
            namespaces.set_sysctl(
                {
                    f"ipv6/conf/{name}/addr_gen_mode": "1",
                    f"ipv6/conf/{name}/disable_ipv6": "0",
                }
            )
            link = find(links, name)
            if link["state"] != "up" or link.get("mtu") != network.mtu:
                alias = f"{_ALIAS}:{network.segmentation_id}"
                links.link("set", index=link["index"], ifalias=alias, mtu=network.mtu, state="up")
            make_only_uplink(links, bridge, name)
            _set_neighbours(links, link["index"], entries.neighbours)

        if namespaces.inside(self._namespace, ends):
            self._filter()  # before packets are taken
        namespaces.inside(self._namespace, up)


def ends_of(links: IPRoute, bridge: str) -> list[str]:
    """The tunnel addresses of other hosts that a bridge's network is connected with."""
    there = find(links, bridge)
    found = [link for link in _own(links) if there and link.get("master") == there["index"]]
    return sorted({end for link in found for end in tunnel_filter.ends_of(links, link["index"])})


def _require(network: SpannedNetwork) -> None:
    """Raise Refused for what no network of ours can be."""
    safe_id(network.network_id)
    if (
        network.segmentation_id not in SEGMENTATION_IDS
        or network.mtu not in MTUS
        or network.mtu < _LEAST_MTU
    ):
        raise Refused(f"its VXLAN id {network.segmentation_id} or its MTU {network.mtu} is none")


def _entries(ports: Sequence[RemotePort], end: TunnelEnd) -> _Entries:
    """Ports that cannot be told to a link are left out."""
    own = ip_interface(end.address)
    entries = _Entries({}, {}, [])
    for port in ports:
        try:
            other = _other_end(port.tunnel_address, own)
            addresses = [str(plain_address(address)) for address in port.ip_addresses]
            if (
                not MAC_PATTERN.fullmatch(port.mac_address)
                or port.mac_address == tunnel_filter.EVERYBODY
                or int(port.mac_address[:2], 16) & 1
            ):
                raise ValueError(f"{port.mac_address!r} is not the MAC address of a machine")
        except ValueError as error:
            entries.lacks.append(str(error))
            continue
        mac_address = port.mac_address.lower()
        entries.ends[mac_address] = str(other)
        entries.neighbours.update(dict.fromkeys(addresses, mac_address))
    return entries


def _other_end(text: str, own: IPv4Interface | IPv6Interface) -> Address:
    """Raises ValueError for what is no end of a tunnel from here."""
    other = plain_address(text)
    if other not in own.network or other == own.ip or _is_for_all(other, own):
        raise ValueError(
            f"{other} is not the address of another host in {own.network}, which tunnel_address "
            "names"
        )
    return other


def _is_for_all(address: Address, own: IPv4Interface | IPv6Interface) -> bool:
    """Whether it is an address of everybody's in the network of IPv4."""
    network = own.network
    ends = (network.network_address, network.broadcast_address)
    return network.version == 4 and network.num_addresses > 2 and address in ends


def _bridges(links: IPRoute) -> set[str]:
    return {link.get("ifname") for link in links.get_links(kind="bridge")}


def _own(links: IPRoute) -> list[Any]:
    return [
        link
        for link in links.get_links(kind="vxlan")
        if not link.get(("linkinfo", "data", "vxlan_learning"))
    ]


def _delete_others(links: IPRoute, wanted: Mapping[str, str]) -> None:
    """Take away links between hosts but these, by name: the bridge. One on another bridge has the
    number of a network that was deleted, and whose machines are still there."""
    bridges = {link["index"]: link.get("ifname") for link in links.get_links(kind="bridge")}
    names = {link.get("ifname"): bridges.get(link.get("master")) for link in _own(links)}
    others = [name for name, on in names.items() if on not in (None, wanted.get(name))]
    links_module.delete(links, [*others, *(names.keys() - wanted.keys() - {*others})])


def _set_ends(links: IPRoute, index: int, wanted: dict[str, str]) -> bool:
    """Returns whether other ends came or went."""
    there = {
        entry.get("NDA_LLADDR"): str(entry.get("NDA_DST"))
        for entry in links.fdb("dump", ifindex=index)
        if entry["ifindex"] == index and entry.get("NDA_DST")
    }
    for mac_address in there.keys() - wanted.keys():
        links.fdb("del", ifindex=index, lladdr=mac_address, dst=there[mac_address])
    for mac_address, end in wanted.items():
        if there.get(mac_address) != end:
            links.fdb("replace", ifindex=index, lladdr=mac_address, dst=end, **_FORWARDING)
    return set(there.values()) != set(wanted.values()) or not there


def _set_neighbours(links: IPRoute, index: int, wanted: dict[str, str]) -> None:
    there = {
        str(entry.get("NDA_DST")): entry.get("NDA_LLADDR")
        for family in (AF_INET, AF_INET6)
        for entry in links.get_neighbours(family=family, ifindex=index)
        if entry["ifindex"] == index and entry["state"] & _PERMANENT
    }
    for address in there.keys() - wanted.keys():
        links.neigh("del", ifindex=index, dst=address, lladdr=there[address])
    for address, mac_address in wanted.items():
        if there.get(address) != mac_address:
            links.neigh("replace", ifindex=index, dst=address, lladdr=mac_address, state=_PERMANENT)
