"""What connects a network's bridge, in Abaca's own namespace, with the outside: one uplink a
network, beside the ports of its servers.

* flat: the trunk of its physical network itself. A trunk is one end of a veth pair whose other end
  is a port of the host's bridge, or a macvlan (mode passthru) on an interface that nothing else
  uses.
* vlan: a VLAN interface on the trunk.
* vxlan: a VXLAN interface whose packets go through the host's namespace.

None of them has an address. They are found by their names, which follow from what they are; a
network whose wiring was changed loses the old uplink when it gets the new one, so that two never
make a loop.
"""

from __future__ import annotations

from typing import Any

from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.wires import carriers, tunnel_filter
from abaca.drivers.linux.wires import links as links_module
from abaca.drivers.linux.wires.carriers import Carriers
from abaca.drivers.linux.wires.interface import Segment
from abaca.drivers.linux.wires.links import PORT_PREFIX, find, short_name
from abaca.drivers.linux.wires.wiring import Tunnels, Wiring, underlay
from abaca.errors import Refused

HERE = "/proc/thread-self/ns/net"
_TRUNK_PREFIX = "u"
_TRUNK = "trunk"
FORWARDING_SECONDS = 40.0
"""Longer than twice the forward delay of a bridge, which is 15 s by default."""


class Uplinks:
    """Makes uplinks in the network namespace `namespace`, as `wiring` says."""

    def __init__(self, namespace: str, wiring: Wiring, cards: Carriers) -> None:
        self._namespace = namespace
        self._wiring = wiring
        self._cards = cards
        self._bridge_ports = Carriers(FORWARDING_SECONDS)

    def wait_for_carrier(self, segment: Segment) -> None:
        """Before `ensure`, and without the lock of the bridges: raise the network card that such a
        network needs, unless it is in use already, and wait for its carrier. Raises Refused for a
        network that is not reached."""
        if self._wiring.stays_here(segment) or not self._wiring.names(segment):
            return
        if segment.network_type not in ("flat", "vlan"):
            return
        trunk = _trunk_name(segment, self._wiring.physical_networks[str(segment.physical_network)])
        if namespaces.exists(self._namespace) and self._has(trunk):
            return
        card = self._wiring.host_link(segment.physical_network)
        if not card.is_bridge:
            carriers.raise_card(card.number)
            self._cards.wait(card.number, lambda: carriers.has_carrier(card.number))

    def wait_until_forwarding(self, segment: Segment) -> None:
        """After `ensure`, and without the lock of the bridges: a bridge of the host's that speaks
        STP passes nothing of a new port at first, and whoever asks there asks nobody."""
        if self._wiring.stays_here(segment) or not self._wiring.names(segment):
            return
        if segment.network_type not in ("flat", "vlan"):
            return
        bridge = self._wiring.host_link(segment.physical_network)
        if not bridge.is_bridge:
            return
        name = self._outer_name(_trunk_name(segment, bridge.name))
        port = namespaces.here(lambda links: find(links, name))
        if port is not None:
            self._bridge_ports.wait(port["index"], lambda: carriers.forwards(port["index"]))

    def ensure(self, bridge: str, segment: Segment, mtu: int) -> bool:
        """Make sure that the bridge has the network's uplink and no other; True when it got it now.

        One that is there and that the options name no longer stays, so that clients keep their
        server; `unnamed` tells of it. Raises Refused for a network that is not reached.
        """
        if self._wiring.stays_here(segment):
            return False
        if not self._wiring.names(segment) and self._has_uplink(bridge, segment):
            return False
        if segment.network_type == "flat":
            uplink = self._trunk(segment)
        elif segment.network_type == "vlan":
            uplink = self._vlan(segment)
        elif segment.network_type == "vxlan" and self._wiring.tunnels is not None:
            uplink = self._vxlan(segment, self._wiring.tunnels, mtu)
        else:
            raise Refused(f"networks of type {segment.network_type} are not supported")
        return namespaces.inside(
            self._namespace, lambda links: make_only_uplink(links, bridge, uplink)
        )

    def delete_unused(self) -> None:
        """Take away bridges without ports, the uplinks that no bridge needs, and the filter of
        tunnels that are gone."""
        had_tunnels = namespaces.inside(self._namespace, _has_tunnels)
        namespaces.inside(self._namespace, delete_unused)
        if had_tunnels or self._wiring.tunnels is not None:
            tunnel_filter.ensure(self._namespace)

    def unnamed(self) -> list[str]:
        """What bridges are connected with although the options do not name it: sentences that say
        which option named it."""
        return namespaces.inside(self._namespace, self._unnamed)

    def _unnamed(self, links: IPRoute) -> list[str]:
        found = []
        for link in links.get_links():
            kind, _, name = (link.get("ifalias") or "").partition(":")
            if kind == _TRUNK and name not in self._wiring.physical_networks:
                found.append(f"physical_networks does not name {name}")
            elif kind == "vxlan" and _kind(link) == "vxlan" and self._wiring.tunnels is None:
                found.append(f"vxlan_local_address is not set (VXLAN id {name})")
        return sorted(found)

    def _has_uplink(self, bridge: str, segment: Segment) -> bool:
        wanted = _alias(segment)

        def look(links: IPRoute) -> bool:
            there = find(links, bridge)
            return any(
                link.get("master") == there["index"] and link.get("ifalias") == wanted
                for link in links.get_links()
            )

        return namespaces.inside(self._namespace, look)

    def _trunk(self, segment: Segment) -> str:
        through = self._wiring.host_link(segment.physical_network)
        name = _trunk_name(segment, through.name)
        if through.is_bridge:
            self._pair(name, self._outer_name(name), through.number, through.mtu)
        elif not self._has(name):
            carriers.raise_card(through.number)
            self._add_from_here(
                ifname=name,
                kind="macvlan",
                link=through.number,
                macvlan_mode="passthru",
                mtu=through.mtu,
            )
        self._describe(name, f"{_TRUNK}:{segment.physical_network}")
        return name

    def _outer_name(self, trunk: str) -> str:
        """Of the trunk's end that is a port of the host's bridge."""
        return short_name("au", self._namespace, trunk)

    def _pair(self, name: str, outer_name: str, bridge: int, mtu: int) -> None:
        """A pair of which `name` is here and `outer_name` a port of the host's bridge."""
        whole = namespaces.here(lambda links: find(links, outer_name)) is not None and self._has(
            name
        )
        if not whole:
            with open(HERE, "rb") as host:
                namespaces.here(lambda links: links_module.delete(links, [outer_name]))
                peer = {"ifname": outer_name, "mtu": mtu, "net_ns_fd": host.fileno()}
                namespaces.inside(
                    self._namespace,
                    lambda links: _add(links, ifname=name, kind="veth", mtu=mtu, peer=peer),
                )
        namespaces.here(lambda links: _make_port(links, outer_name, bridge, self._namespace))

    def _vlan(self, segment: Segment) -> str:
        trunk = self._trunk(segment)
        name = short_name("v", trunk, str(segment.segmentation_id))

        def act(links: IPRoute) -> None:
            if find(links, name) is None:
                index = find(links, trunk)["index"]
                links.link("add", **vlan_link(name, index, segment.segmentation_id))

        namespaces.inside(self._namespace, act)
        self._describe(name, _alias(segment))
        return name

    def _vxlan(self, segment: Segment, tunnels: Tunnels, mtu: int) -> str:
        ends = (tunnels.local_address, tunnels.group, tunnels.port)
        name = short_name("x", str(segment.segmentation_id), *map(str, ends))
        if not self._has(name):
            version = "6" if tunnels.local_address.version == 6 else ""
            more: dict[str, Any] = {f"vxlan_local{version}": str(tunnels.local_address)}
            if tunnels.group is not None:
                more |= {
                    f"vxlan_group{version}": str(tunnels.group),
                    "vxlan_link": underlay(tunnels.local_address).number,
                }
            namespaces.inside(
                self._namespace, lambda links: delete_vxlan(links, segment.segmentation_id)
            )
            self._add_from_here(
                ifname=name,
                kind="vxlan",
                vxlan_id=segment.segmentation_id,
                vxlan_port=tunnels.port,
                mtu=mtu,
                **more,
            )
        namespaces.inside(
            self._namespace,
            lambda links: _set_remotes(links, name, {str(remote) for remote in tunnels.remotes}),
        )
        tunnel_filter.ensure(self._namespace)  # before packets are taken
        self._describe(name, _alias(segment), mtu)
        return name

    def _has(self, name: str) -> bool:
        return namespaces.inside(self._namespace, lambda links: find(links, name)) is not None

    def _describe(self, name: str, alias: str, least_mtu: int = 0) -> None:
        def act(links: IPRoute) -> None:
            link = find(links, name)
            if link["state"] != "up" or link.get("ifalias") != alias or link.get("mtu") < least_mtu:
                links.link(
                    "set",
                    index=link["index"],
                    ifalias=alias,
                    state="up",
                    mtu=max(link.get("mtu"), least_mtu),
                )

        namespaces.inside(self._namespace, act)

    def _add_from_here(self, **link: Any) -> None:
        """A link in Abaca's namespace whose other side is in the host's."""
        with open(namespaces.path_of(self._namespace), "rb") as there:
            namespaces.here(lambda links: links.link("add", net_ns_fd=there.fileno(), **link))


def vlan_link(name: str, trunk: int, vlan_id: int | None) -> dict[str, Any]:
    """What the kernel is asked for: a link whose frames have the tag on the link `trunk`."""
    return {"ifname": name, "kind": "vlan", "link": trunk, "vlan_id": vlan_id}


def delete_unused(links: IPRoute) -> None:
    """Take away bridges without ports, and then the uplinks that no bridge needs."""
    everything = list(links.get_links())
    used = {link.get("master") for link in everything if link.get("ifname").startswith(PORT_PREFIX)}
    empty = {
        link["index"]
        for link in everything
        if _kind(link) == "bridge" and link["index"] not in used
    }
    for bridge in empty:
        links.link("del", index=bridge)
    everything = [link for link in everything if link["index"] not in empty]
    there = {link["index"] for link in everything}
    idle = [
        link
        for link in everything
        if link.get("master") not in there and _kind(link) in ("vlan", "vxlan")
    ]
    carried = {
        link.get("link") for link in everything if _kind(link) == "vlan" and link not in idle
    }
    idle += [
        link
        for link in everything
        if link.get("ifname").startswith(_TRUNK_PREFIX)
        and link.get("master") not in there
        and link["index"] not in carried
    ]
    links_module.delete(links, [link.get("ifname") for link in idle])


def _trunk_name(segment: Segment, interface: str) -> str:
    """Of the trunk on the host's interface, or bridge, of that name."""
    return short_name(_TRUNK_PREFIX, str(segment.physical_network), interface)


def _alias(segment: Segment) -> str:
    """By which an uplink says what it is."""
    if segment.network_type == "flat":
        return f"{_TRUNK}:{segment.physical_network}"
    return f"{segment.network_type}:{segment.segmentation_id}"


def _has_tunnels(links: IPRoute) -> bool:
    return len(list(links.get_links(kind="vxlan"))) > 0


def _kind(link: Any) -> str:
    information = link.get("linkinfo")
    return (information.get("kind") if information else None) or ""


def _add(links: IPRoute, **link: Any) -> None:
    links_module.delete(links, [link["ifname"]])
    links.link("add", **link)


def _make_port(links: IPRoute, name: str, bridge: int, alias: str) -> None:
    """Make a link a port of the host's bridge, without an address of the host's."""
    link = find(links, name)
    if link.get("master") != bridge or link["state"] != "up":
        namespaces.set_sysctl({f"ipv6/conf/{name}/disable_ipv6": "1"})
        links.link("set", index=link["index"], ifalias=alias, master=bridge)
        links.link("set", index=link["index"], state="up")


def delete_vxlan(links: IPRoute, segmentation_id: int | None) -> None:
    """One with other ends: the kernel has a segment once only."""
    there = [
        link
        for link in links.get_links(kind="vxlan")
        if link.get(("linkinfo", "data", "vxlan_id")) == segmentation_id
    ]
    links_module.delete(links, [link.get("ifname") for link in there])


def make_only_uplink(links: IPRoute, bridge_name: str, uplink_name: str) -> bool:
    """Make the link the bridge's uplink, and no other; True when it was not. Raises Refused when it
    is another bridge's."""
    bridge, uplink = find(links, bridge_name), find(links, uplink_name)
    if uplink.get("master") not in (None, bridge["index"]):
        other = next(iter(links.get_links(uplink.get("master"))), None)
        raise Refused(
            f"network {other.get('ifalias') if other else '?'} is already on this wire "
            f"({uplink.get('ifalias')})"
        )
    for link in links.get_links():
        is_port = link.get("ifname").startswith(PORT_PREFIX)
        if (
            link.get("master") == bridge["index"]
            and link["index"] != uplink["index"]
            and not is_port
        ):
            links.link("set", index=link["index"], master=0)
    is_new = bool(uplink.get("master") != bridge["index"])
    if is_new:
        links.link("set", index=uplink["index"], master=bridge["index"])
    delete_unused(links)
    return is_new


def _set_remotes(links: IPRoute, name: str, remotes: set[str]) -> None:
    index = find(links, name)["index"]
    there = tunnel_filter.remotes_of(links, index)
    for remote in remotes - there:
        links.fdb("append", ifindex=index, lladdr=tunnel_filter.EVERYBODY, dst=remote)
    for remote in there - remotes if remotes else ():
        links.fdb("del", ifindex=index, lladdr=tunnel_filter.EVERYBODY, dst=remote)
