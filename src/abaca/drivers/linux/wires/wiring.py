"""How a back end reaches networks that others are on, too: what its options say, and which networks
it cannot reach, and why.

Without any of these options the networks are Abaca's own, and a bridge is all there is of each; so
it is of Abaca's own VXLAN networks where there are no tunnels. The links are made in `uplinks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.option_values import items
from abaca.drivers.linux.wires import links as links_module
from abaca.drivers.linux.wires.interface import Segment, segment_of
from abaca.errors import BackendError, Refused, Unavailable
from abaca.plugin_options import Option
from abaca.values import NetworkInfo

OPTIONS = {
    "physical_networks": Option(
        "Physical networks, as provider networks name them, each with the bridge or interface of "
        "this machine by which it is reached, separated by commas: physnet1:br-ex, physnet2:eth1."
    ),
    "vxlan_local_address": Option(
        "This machine's address for VXLAN tunnels, IPv4 or IPv6: 10.20.0.5."
    ),
    "vxlan_remotes": Option(
        "Addresses of the other ends of the tunnels, separated by commas: 10.20.0.6, 10.20.0.7."
    ),
    "vxlan_group": Option(
        "Multicast address to which all ends of the tunnels listen, instead of vxlan_remotes: "
        "239.1.1.1."
    ),
    "vxlan_port": Option("UDP port of all ends of the tunnels.", "4789"),
}
REACHED = ("flat", "vlan", "vxlan")
VXLAN_OVERHEAD = {4: 50, 6: 70}  # what a tunnel over that IP version adds to a packet
_SCOPE_LINK = 253

IpAddress = IPv4Address | IPv6Address


class Tunnels(NamedTuple):
    """This machine's end of the VXLAN networks, and the other ends: by address, or all that listen
    to a multicast group."""

    local_address: IpAddress
    remotes: tuple[IpAddress, ...]
    group: IpAddress | None
    port: int


class HostLink(NamedTuple):
    """An interface of this machine that a physical network or a tunnel goes through."""

    number: int
    name: str
    kind: str
    mtu: int
    is_port: bool
    has_addresses: bool

    @property
    def is_bridge(self) -> bool:
        return self.kind == "bridge"


class Wiring:
    """The interface or bridge of each physical network, and the tunnels. Raises Unavailable for
    options that make no sense."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self.physical_networks = _physical_networks(options["physical_networks"])
        self.tunnels = _tunnels(options)

    @property
    def is_own_only(self) -> bool:
        """Whether there is none: networks are Abaca's own."""
        return not self.physical_networks and self.tunnels is None

    def stays_here(self, segment: Segment) -> bool:
        """Whether a bridge on this machine is all that there is of such a network."""
        if not segment.is_local:
            return self.is_own_only
        return segment.network_type == "local" or (
            segment.network_type == "vxlan" and self.tunnels is None
        )

    def names(self, segment: Segment) -> bool:
        """Whether the options say how such a network is reached."""
        if segment.network_type == "vxlan":
            return self.tunnels is not None
        return segment.physical_network in self.physical_networks

    def require(self) -> None:
        """Raise Unavailable, naming it, when this machine lacks an interface or an address that the
        options name."""
        try:
            for physical_network in self.physical_networks:
                self.host_link(physical_network)
            if self.tunnels is not None:
                underlay(self.tunnels.local_address)
                _require_kind("vxlan")
        except Refused as error:
            raise Unavailable(error.message) from error

    def refuse_unreachable(
        self, network_info: Sequence[NetworkInfo], highest_mtu: int | None
    ) -> None:
        """Raise Refused, naming what is lacking, when one of these is on a network that is not
        reached from here."""
        for info in network_info:
            segment = segment_of(info.subnet)
            if self.stays_here(segment):
                continue
            try:
                self.require_segment(segment, min(info.subnet.mtu, highest_mtu or info.subnet.mtu))
            except Refused as error:
                raise Refused(
                    f"subnet {info.subnet.cidr} of network {info.subnet.neutron_net_id}: "
                    f"{error.message}"
                ) from error

    def host_link(self, physical_network: str | None) -> HostLink:
        """The bridge or interface of a physical network. Raises Refused when there is none that can
        be used."""
        if physical_network is None:
            raise Refused("its physical network is not known")
        if physical_network not in self.physical_networks:
            raise Refused(f"the option physical_networks does not name {physical_network}")
        name = self.physical_networks[physical_network]
        found = namespaces.here(lambda links: _host_link(links, name))
        if found is None:
            raise Refused(
                f"physical network {physical_network}: this machine has no interface {name}"
            )
        if found.kind == "openvswitch":
            raise Refused(
                f"physical network {physical_network}: {name} is Open vSwitch's; name an end of a "
                "veth pair whose other end is its port"
            )
        if not found.is_bridge:
            if found.is_port or found.has_addresses:
                why = (
                    "is a port of something else"
                    if found.is_port
                    else "has addresses of this machine"
                )
                raise Refused(
                    f"physical network {physical_network}: {name} {why}; name a bridge, or an "
                    "interface that nothing else uses"
                )
            _require_kind("macvlan")
        return found

    def require_segment(self, segment: Segment, mtu: int) -> None:
        """Raise Refused, naming what is lacking, when networks of that kind and MTU are not reached
        from here."""
        if segment.network_type not in REACHED:
            raise Refused(
                f"networks of type {segment.network_type} are not supported, only "
                f"{', '.join(REACHED)}"
            )
        if segment.network_type == "vxlan":
            self._require_tunnels(mtu)
            return
        if segment.network_type == "vlan":
            _require_kind("vlan")
        through = self.host_link(segment.physical_network)
        if mtu > through.mtu:
            raise Refused(f"its MTU is {mtu}, that of {through.name} is {through.mtu}")

    def _require_tunnels(self, mtu: int) -> None:
        if self.tunnels is None:
            raise Refused(
                "networks of type vxlan need the option vxlan_local_address, which is not set"
            )
        _require_kind("vxlan")
        address = self.tunnels.local_address
        through, more = underlay(address), VXLAN_OVERHEAD[address.version]
        if mtu + more > through.mtu:
            raise Refused(
                f"its MTU is {mtu} and a tunnel needs {more} more, but that of {through.name} is "
                f"{through.mtu}"
            )


def underlay(address: IpAddress, option: str = "vxlan_local_address") -> HostLink:
    """The interface of this machine that has the address, which an option names. Raises Refused
    when none has."""
    link = namespaces.here(lambda links: _link_with(links, address))
    if link is None:
        raise Refused(f"this machine does not have the address {address}, which {option} names")
    return link


def _link_with(links: IPRoute, address: IpAddress) -> HostLink | None:
    for found in links.get_addr():
        if ip_address(found.get("IFA_LOCAL") or found.get("IFA_ADDRESS")) == address:
            return _described(links, links.get_links(found["index"])[0])
    return None


def _host_link(links: IPRoute, name: str) -> HostLink | None:
    link = links_module.find(links, name)
    return None if link is None else _described(links, link)


def _described(links: IPRoute, link: Any) -> HostLink:
    information = link.get("linkinfo")
    addresses = [
        found for found in links.get_addr(index=link["index"]) if found["scope"] != _SCOPE_LINK
    ]
    kind = (information.get("kind") if information else None) or ""
    return HostLink(
        link["index"],
        link.get("ifname"),
        kind,
        link.get("mtu"),
        bool(link.get("master")),
        bool(addresses),
    )


def _require_kind(kind: str) -> None:
    """Raise Refused when the kernel has no such links; tried in a namespace that is thrown away."""

    def attempt(links: IPRoute) -> None:
        links.link("add", ifname="abaca0", kind="bridge")
        (bridge,) = links.link_lookup(ifname="abaca0")
        more: dict[str, Any] = {
            "vlan": {"link": bridge, "vlan_id": 2},
            "vxlan": {"vxlan_id": 2, "vxlan_port": 4789},
            "macvlan": {"link": bridge, "macvlan_mode": "passthru"},
        }[kind]
        links.link("add", ifname="abaca1", kind=kind, **more)

    try:
        namespaces.inside_new(attempt)
    except BackendError as error:
        raise Refused(f"the kernel lacks interfaces of the kind {kind}: {error.message}") from error


def _physical_networks(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in items(text):
        physical_network, colon, interface = item.partition(":")
        if not (physical_network and colon and interface and len(interface) < 16):
            raise Unavailable(
                f"option physical_networks, '{item}': must be NAME:INTERFACE, with commas between "
                "several"
            )
        if physical_network in found or interface in found.values():
            raise Unavailable(
                f"option physical_networks names '{physical_network}' or '{interface}' twice"
            )
        found[physical_network] = interface
    return found


def _tunnels(options: Mapping[str, str]) -> Tunnels | None:
    if not options["vxlan_local_address"]:
        for name in ("vxlan_remotes", "vxlan_group"):
            if options[name]:
                raise Unavailable(f"option {name} needs vxlan_local_address")
        return None
    (local,) = _addresses(options, "vxlan_local_address")[:1]
    remotes, groups = _addresses(options, "vxlan_remotes"), _addresses(options, "vxlan_group")
    if bool(remotes) == bool(groups):
        raise Unavailable("VXLAN needs either vxlan_remotes or vxlan_group")
    if len(groups) > 1 or not all(group.is_multicast for group in groups):
        raise Unavailable("option vxlan_group: must be one multicast address")
    if {address.version for address in (*remotes, *groups)} != {local.version}:
        raise Unavailable("the addresses of the options vxlan_… must all be of one IP version")
    port = options["vxlan_port"]
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise Unavailable(f"option vxlan_port, '{port}': must be a port number")
    return Tunnels(local, remotes, groups[0] if groups else None, int(port))


def _addresses(options: Mapping[str, str], name: str) -> tuple[IpAddress, ...]:
    try:
        return tuple(ip_address(item) for item in items(options[name]))
    except ValueError as error:
        raise Unavailable(f"option {name}: {error}") from error
