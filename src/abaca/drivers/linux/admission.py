"""Who reaches the NFS server of a share server at all: source addresses that one of its access
rules admits, and nobody else; by rules of shares that are exported on chosen subnets, only at the
server's addresses there.

Rules of a single share are NFS-Ganesha's (`file_services/nfs/access.py`). But whoever can send it
requests can do harm without any rule: sessions of NFSv4.1 are guessed, clients are known by their
names. So a packet filter resets whatever comes to its port from other addresses, connections that
were made before a rule went included; what such a client held goes when its lease ends.

A client can be sent away for a while, too, although it is admitted, so that its lease ends.
"""

from __future__ import annotations

import socket
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from abaca.drivers.linux import namespaces, packet_filter
from abaca.drivers.linux.bounds import NFS_PORT
from abaca.errors import OutcomeUnknown

TABLE = ("inet", "abaca_admission")
AWAY_SECONDS = 30
"""A lease is ten, NFS-Ganesha looks for those that are over every ten, and may be late."""

# The sets are there twice: while the kernel (6.18) exchanges what is in a set of intervals, even in
# one transaction, there are moments in which it finds nothing there, and clients that stay admitted
# would be reset.
_COPIES = ("first", "second")
_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_LENGTHS = {"ipv4": 4, "ipv6": 16}  # bytes of an address

Range = tuple[int, int]
"""The first and the last address, as numbers."""
Element = tuple[Range, str]
"""Clients that are admitted at that address of the server; at all of them: `EVERYWHERE`."""
EVERYWHERE = ""

# Before the table of bounds, so that strangers are not counted. The worker asks through the
# loopback.
_FILTER = """\
{sets}
set away_ipv4 {{ type ipv4_addr; flags timeout; }}
set away_ipv6 {{ type ipv6_addr; flags timeout; }}
chain arriving {{
    type filter hook input priority filter - 10; policy accept;
    iif != lo tcp dport {port} jump clients
}}
chain clients {{
    ip saddr @away_ipv4 reject with tcp reset
    ip6 saddr @away_ipv6 reject with tcp reset
    ip saddr @first_ipv4 accept
    ip saddr . ip daddr @first_at_ipv4 accept
    ip saddr @second_ipv4 accept
    ip saddr . ip daddr @second_at_ipv4 accept
    ip6 saddr @first_ipv6 accept
    ip6 saddr . ip6 daddr @first_at_ipv6 accept
    ip6 saddr @second_ipv6 accept
    ip6 saddr . ip6 daddr @second_at_ipv6 accept
    reject with tcp reset
}}
"""


def admit(
    namespace: str, networks: Iterable[str], at: Mapping[str, Iterable[str]] | None = None
) -> None:
    """Let exactly these networks (`10.0.0.0/24`, `fd00::20`) reach the NFS server in this network
    namespace, at all its addresses; and those of `at` at the one address each.

    Clients that stay admitted notice nothing.
    """
    wanted: dict[str, list[Element]] = {
        family: [(each, EVERYWHERE) for each in found] for family, found in ranges(networks).items()
    }
    wanted |= {f"at_{family}": [] for family in _FAMILIES}
    for address, admitted in (at or {}).items():
        family = "ipv6" if ":" in address else "ipv4"
        wanted[f"at_{family}"] += [(each, address) for each in ranges(admitted)[family]]
    namespaces.inside(namespace, lambda _: _admit(wanted))


def send_away(namespace: str, addresses: Iterable[IPv4Address | IPv6Address]) -> None:
    """Reset what these clients send to the NFS server in this network namespace for `AWAY_SECONDS`,
    after which the kernel lets them come again."""
    elements = "".join(
        f"add element {' '.join(TABLE)} away_ipv{address.version} {{ {address} timeout "
        f"{AWAY_SECONDS}s }}\n"
        for address in set(addresses)
    )
    namespaces.inside(namespace, lambda _: packet_filter.apply(elements))


def ranges(networks: Iterable[str]) -> dict[str, list[Range]]:
    """What networks hold, by family; ascending, and with something between two of them."""
    found: dict[str, list[Range]] = {family: [] for family in _FAMILIES}
    for network in networks:
        family, *limits = _range(network)
        found[family].append((limits[0], limits[1]))
    return {family: list(_merged(sorted(each))) for family, each in found.items()}


def outside(
    addresses: Iterable[IPv4Address | IPv6Address], networks: Iterable[str]
) -> set[IPv4Address | IPv6Address]:
    """Those of the addresses that are in none of the networks."""
    admitted = ranges(networks)
    return {
        address
        for address in addresses
        if not _is_in(int(address), admitted[f"ipv{address.version}"])
    }


def _is_in(number: int, admitted: list[Range]) -> bool:
    place = bisect_right(admitted, number, key=lambda found: found[0])
    return place > 0 and number <= admitted[place - 1][1]


def _range(network: str) -> tuple[str, int, int]:
    address, _, length = network.partition("/")
    family = "ipv6" if ":" in address else "ipv4"
    bits = 8 * _LENGTHS[family]
    first = int.from_bytes(socket.inet_pton(_FAMILIES[family], address), "big")
    return family, first, first | (1 << bits - int(length or bits)) - 1


def _merged(given: Iterable[Range]) -> Iterator[Range]:
    """`given` is sorted."""
    pending: Range | None = None
    for first, last in given:
        if pending is None or first > pending[1] + 1:
            if pending is not None:
                yield pending
            pending = (first, last)
        else:
            pending = (pending[0], max(pending[1], last))
    if pending is not None:
        yield pending


def _admit(wanted: Mapping[str, list[Element]]) -> None:
    try:
        present = packet_filter.sets(*TABLE)
        for copy in _COPIES:
            changes = "".join(
                _change(f"{copy}_{kind}", kind, present, wanted[kind]) for kind in wanted
            )
            if changes:
                packet_filter.apply(changes)
    except (
        OutcomeUnknown,
        LookupError,
    ):  # there is no such table yet, or an older one, or somebody changed it
        sets = [
            f"set {copy}_{kind} {{ type {_type(kind)}; flags interval; "
            f"{_elements(kind, wanted[kind], 'elements = ', ';')} }}"
            for copy in _COPIES
            for kind in wanted
        ]
        packet_filter.replace_table(*TABLE, _FILTER.format(sets="\n".join(sets), port=NFS_PORT))


def _type(kind: str) -> str:
    """Of the elements of a set: clients, or clients and an address of the server."""
    one = f"{_family(kind)}_addr"
    return one if kind in _FAMILIES else f"{one} . {one}"


def _family(kind: str) -> str:
    return kind.removeprefix("at_")


def _change(name: str, kind: str, present: Mapping[str, list[Any]], wanted: list[Element]) -> str:
    """Only what differs: a set of thousands takes seconds to be written."""
    there, which = {of_element(element) for element in present[name]}, f"{' '.join(TABLE)} {name}"
    gone, new = sorted(there.difference(wanted)), sorted(set(wanted) - there)
    return _elements(kind, gone, f"delete element {which} ", "\n") + _elements(
        kind, new, f"add element {which} ", "\n"
    )


def of_element(element: Any) -> Element:
    """An element of a set as nft lists it: clients, as an address, a prefix or a range; or these
    and an address of the server."""
    if isinstance(element, str):
        return _range(element)[1:], EVERYWHERE
    if "concat" in element:
        clients, address = element["concat"]
        return of_element(clients)[0], address
    if "prefix" in element:
        return _range(f"{element['prefix']['addr']}/{element['prefix']['len']}")[1:], EVERYWHERE
    first, last = element["range"]
    return (_range(first)[1], _range(last)[1]), EVERYWHERE


def _elements(kind: str, listed: Iterable[Element], before: str, behind: str) -> str:
    text = ", ".join(_text(_family(kind), *each) for each in listed)
    return text and f"{before}{{ {text} }}{behind}"


def _text(family: str, clients: Range, address: str) -> str:
    first, last = (
        socket.inet_ntop(_FAMILIES[family], number.to_bytes(_LENGTHS[family], "big"))
        for number in clients
    )
    text = first if first == last else f"{first}-{last}"
    return text if address == EVERYWHERE else f"{text} . {address}"
