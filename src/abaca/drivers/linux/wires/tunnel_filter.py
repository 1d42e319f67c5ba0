"""Packets for the VXLAN networks are taken from the other ends of their tunnels only: a filter in
the host's namespace.

The kernel's VXLAN takes them from everybody, and for every address of the machine. The filter names
the segments (VNIs) that have an interface in Abaca's own namespace and leaves the others to whoever
has them. With a multicast group the other ends are not known; then packets must come in by the
tunnels' interface.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces, packet_filter

FAMILY = "inet"
# the forwarding entry for what is for all, or for whom nobody has heard of yet
EVERYBODY = "00:00:00:00:00:00"
# behind the UDP header's eight bytes and the flags; nft 1.0.6 has no name for it
_VNI = "@th,96,24"

# The first piece of a packet, which the kernel puts together behind the filter when it is IPv6:
# where it ends before the VNI, neither of these can be told.
_BEGINNING = f"{_VNI} 0 return\n{_VNI} != 0 return\ndrop"


class _Ends(NamedTuple):
    """Where packets to the UDP port may come from: other ends, or an interface of the host."""

    port: int
    remotes: tuple[str, ...]
    interface: str


def ensure(namespace: str) -> None:
    """Filter for the VXLAN interfaces in Abaca's namespace as they are now. Called before one is
    raised, and after one has gone."""
    there = namespaces.inside(namespace, vxlans)
    segments: dict[_Ends, list[int]] = defaultdict(list)

    def act(links: IPRoute) -> None:
        for vni, port, remotes, link in there:
            segments[_Ends(port, remotes, "" if remotes else _name(links, link))].append(vni)
        if segments:
            packet_filter.replace_table(FAMILY, _table(namespace), _body(segments))
        else:
            packet_filter.delete_table(FAMILY, _table(namespace))

    namespaces.here(act)


def remove(namespace: str) -> None:
    """Take the filter away. Nothing there is success."""
    namespaces.here(lambda _: packet_filter.delete_table(FAMILY, _table(namespace)))


def tables(namespace: str) -> list[str]:
    """The filter's name, when it is there; for finding what is left."""
    there = namespaces.here(lambda _: packet_filter.tables())
    return [name for family, name in there if (family, name) == (FAMILY, _table(namespace))]


def ends_of(links: IPRoute, index: int) -> set[str]:
    """The other ends to which a VXLAN interface sends anything."""
    return {
        str(entry.get("NDA_DST"))
        for entry in links.fdb("dump", ifindex=index)
        if entry["ifindex"] == index and entry.get("NDA_DST")
    }


def remotes_of(links: IPRoute, index: int) -> set[str]:
    """The other ends to which a VXLAN interface sends what is for all."""
    entries = [
        entry
        for entry in links.fdb("dump", ifindex=index)
        if entry["ifindex"] == index and entry.get("NDA_LLADDR") == EVERYBODY
    ]
    return {str(entry.get("NDA_DST")) for entry in entries if entry.get("NDA_DST")}


def vxlans(links: IPRoute) -> list[tuple[int, int, tuple[str, ...], int | None]]:
    """VNI, UDP port, other ends and number of the host's interface of each; with a group no other
    ends."""
    found = []
    for link in links.get_links(kind="vxlan"):
        data: Any = link.get(("linkinfo", "data"))
        group = data.get("vxlan_group") or data.get("vxlan_group6")
        known = remotes_of if data.get("vxlan_learning") else ends_of
        remotes = () if group else tuple(sorted(known(links, link["index"])))
        found.append(
            (
                int(data.get("vxlan_id")),
                int(data.get("vxlan_port")),
                remotes,
                data.get("vxlan_link"),
            )
        )
    return found


def _name(links: IPRoute, index: int | None) -> str:
    return str(links.get_links(index)[0].get("ifname")) if index else ""


def _body(segments: Mapping[_Ends, Sequence[int]]) -> str:
    rules = ["type filter hook input priority -200; policy accept;"]
    ports = ", ".join(map(str, sorted({ends.port for ends in segments})))
    rules.append(f"udp dport {{ {ports} }} exthdr frag exists jump beginning")
    for ends, vnis in segments.items():
        packets = f"udp dport {ends.port} {_VNI} {{ {', '.join(map(str, sorted(vnis)))} }}"
        for version, family in ((4, "ip"), (6, "ip6")):
            remotes = [remote for remote in ends.remotes if ip_address(remote).version == version]
            if remotes:
                rules.append(f"{packets} {family} saddr {{ {', '.join(remotes)} }} accept")
        if ends.interface:
            rules.append(f'{packets} iifname "{ends.interface}" accept')
        rules.append(f"{packets} drop")
    return f"chain beginning {{\n{_BEGINNING}\n}}\nchain arriving {{\n" + "\n".join(rules) + "\n}"


def _table(namespace: str) -> str:
    return f"{namespace}-tunnels"
