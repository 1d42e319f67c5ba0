"""What stands between a network's machines and a port on it: link, bridge, tag, port.

For people who ask why a client reaches no share. Nothing is changed, and the lock of the bridges is
not taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.wires.between_hosts import ends_of
from abaca.drivers.linux.wires.interface import Port, Segment
from abaca.drivers.linux.wires.links import PORT_PREFIX, find
from abaca.drivers.linux.wires.port_security import secured_ports
from abaca.drivers.linux.wires.wiring import HostLink, Wiring, underlay
from abaca.errors import Refused
from abaca.values import Finding

_WORKER = (
    "the worker makes it when it starts: look at `openstack share service list`, and start "
    "`abaca serve` again"
)


def link(wiring: Wiring, segment: Segment, mtu: int) -> Iterator[Finding]:
    """What of the host's the network goes through."""
    what = "link"
    try:
        wiring.require_segment(segment, mtu)
        if segment.network_type == "vxlan":
            assert wiring.tunnels is not None
            through = underlay(wiring.tunnels.local_address)
            ends = ", ".join(map(str, wiring.tunnels.remotes)) or f"group {wiring.tunnels.group}"
            seen = f"{wiring.tunnels.local_address}, with tunnels to {ends}"
        else:
            through = wiring.host_link(segment.physical_network)
            seen = f"physical network {segment.physical_network}"
    except Refused as refused:
        yield Finding(what=what, lack=refused.message)
        return
    yield Finding(
        what=f"{what} {through.name}",
        seen=f"{seen}, MTU {through.mtu}",
        lack=namespaces.here(lambda links: _link_lack(links, through)),
    )


def between_hosts(namespace: str, bridge_name: str) -> Finding:
    """The network is on this machine, and on other hosts when it has ports there."""
    ends = (
        namespaces.inside(namespace, lambda links: ends_of(links, bridge_name))
        if namespaces.exists(namespace)
        else []
    )
    if ends:
        return Finding(what="link", seen=f"tunnels to the hosts {', '.join(ends)}")
    return Finding(
        what="link", seen="none: only machines made here are on it, such as `abaca client` makes"
    )


def bridge(links: IPRoute, name: str, segment: Segment | None) -> Iterator[Finding]:
    """The network's bridge and, unless `segment` is None, its uplink and the uplink's tag. `links`:
    of the bridges' namespace."""
    found = find(links, name)
    what = f"bridge {name}"
    if found is None:
        yield Finding(what=what, lack=f"it is not there; {_WORKER}")
        return
    if found["state"] != "up":
        yield Finding(what=what, lack=f"it is down; {_WORKER}")
        return
    members = [each for each in links.get_links() if each.get("master") == found["index"]]
    uplinks = [each for each in members if not each.get("ifname").startswith(PORT_PREFIX)]
    ports = f"{len(members) - len(uplinks)} ports"
    if segment is None:
        yield Finding(what=what, seen=ports)
        return
    if len(uplinks) != 1 or uplinks[0]["state"] != "up":
        yield Finding(what=what, lack=f"it has no uplink that is up; {_WORKER}")
        return
    yield Finding(what=what, seen=f"{ports}, uplink {uplinks[0].get('ifname')}")
    yield tag(uplinks[0], segment)


def no_bridges(namespace: str) -> Finding:
    """The namespace of the bridges is not there."""
    return Finding(what="bridge", lack=f"there is no network namespace {namespace}; {_WORKER}")


def tag(uplink: Any, segment: Segment) -> Finding:
    """What the frames of the network are marked with outside, and what they should be."""
    kind = uplink.get(("linkinfo", "kind")) or ""
    there = {
        "vlan": uplink.get(("linkinfo", "data", "vlan_id")),
        "vxlan": uplink.get(("linkinfo", "data", "vxlan_id")),
    }.get(kind)
    names = {"vlan": f"VLAN {there}", "vxlan": f"VNI {there}"}
    seen = names.get(kind, "none, so this network must be untagged at the switch's port")
    wanted = None if segment.network_type == "flat" else segment.segmentation_id
    if there == wanted and (kind == segment.network_type or wanted is None):
        return Finding(what="tag", seen=seen)
    return Finding(
        what="tag",
        lack=f"frames have {seen}, but the network is {segment.network_type} {wanted or ''}; "
        f"{_WORKER}",
    )


def port(namespace: str, port: Port, bridge_name: str) -> Finding:
    """Both ends of a port, and whether it may send. `namespace`: of the bridges."""

    def outer_lack(links: IPRoute) -> str | None:
        outer, there = find(links, port.name), find(links, bridge_name)
        if outer is None or there is None or outer.get("master") != there["index"]:
            return "its outer end is not on the bridge"
        return None if outer.get("operstate") == "UP" else "its outer end is down"

    def inner_lack(links: IPRoute) -> str | None:
        inner = find(links, port.name)
        if inner is None:
            return "the share server has no such interface"
        if inner.get("address") != port.mac_address.lower():
            return f"its MAC address is {inner.get('address')}, not {port.mac_address}"
        return None if inner["state"] == "up" else "it is down"

    if not namespaces.exists(port.namespace):
        lack: str | None = f"there is no network namespace {port.namespace}"
    else:
        lack = namespaces.inside(port.namespace, inner_lack)
    lack = lack or namespaces.inside(namespace, outer_lack)
    if lack is None and port.name not in secured_ports(namespace):
        lack = "port security does not know it, so whatever it sends is dropped"
    return Finding(
        what=f"port {port.name}",
        seen=f"MAC address {port.mac_address}",
        lack=lack and f"{lack}; {_WORKER}",
    )


def _link_lack(links: IPRoute, through: HostLink) -> str | None:
    """`links`: of the host."""
    (found,) = links.get_links(through.number)
    if found["state"] != "up":
        return f"it is down: `ip link set {through.name} up`"
    if not through.is_bridge:
        return None if _has_carrier(found) else "it has no carrier: is the cable in the switch?"
    members = [
        each
        for each in links.get_links()
        # the other ends of our own pairs bring nobody here
        if each.get("master") == through.number and not each.get("ifname").startswith("au")
    ]
    if not members:
        return f"nothing but Abaca is on this bridge: `ip link set INTERFACE master {through.name}`"
    if not any(map(_has_carrier, members)):
        names = ", ".join(each.get("ifname") for each in members)
        return f"none of its ports has a carrier ({names}): is the cable in the switch?"
    return None


def _has_carrier(link: Any) -> bool:
    return bool(link["state"] == "up" and link.get("carrier"))
