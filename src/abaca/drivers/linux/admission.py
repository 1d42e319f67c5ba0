"""Who reaches the NFS server of a share server at all: source addresses that one of its access rules admits, and nobody else.

Rules of a single share are NFS-Ganesha's (`file_services/nfs/access.py`). But whoever can send it
requests can do harm without any rule: sessions of NFSv4.1 are guessed, clients are known by their
names. So a packet filter resets whatever comes to its port from other addresses, connections that
were made before a rule went included; what such a client held goes when its lease ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from abaca.drivers.linux import namespaces, packet_filter
from abaca.drivers.linux.bounds import NFS_PORT
from abaca.errors import OutcomeUnknown

TABLE = ("inet", "abaca_admission")

# The sets are there twice: while the kernel (6.18) exchanges what is in a set of intervals, even in one transaction, there are
# moments in which it finds nothing there, and clients that stay admitted would be reset.
_COPIES = ("first", "second")

# Before the table of bounds, so that strangers are not counted. The worker asks through the loopback.
_FILTER = """\
{sets}
chain arriving {{
    type filter hook input priority filter - 10; policy accept;
    iif != lo tcp dport {port} jump clients
}}
chain clients {{
    ip saddr @first_ipv4 accept
    ip saddr @second_ipv4 accept
    ip6 saddr @first_ipv6 accept
    ip6 saddr @second_ipv6 accept
    reject with tcp reset
}}
"""


def admit(namespace: str, networks: Iterable[IPv4Network | IPv6Network]) -> None:
    """Let exactly these networks reach the NFS server in this network namespace. Clients that stay admitted notice nothing."""
    given = set(networks)
    elements = {
        "ipv4": _elements(collapse_addresses(network for network in given if isinstance(network, IPv4Network))),
        "ipv6": _elements(collapse_addresses(network for network in given if isinstance(network, IPv6Network))),
    }
    namespaces.inside(namespace, lambda _: _admit(elements))


def _admit(elements: Mapping[str, str]) -> None:
    try:
        for copy in _COPIES:
            packet_filter.apply("".join(_exchange(f"{copy}_{family}", listed) for family, listed in elements.items()))
    except OutcomeUnknown:  # there is no such table yet, or somebody changed it
        sets = [
            f"set {copy}_{family} {{ type {family}_addr; flags interval; {f'elements = {listed};' if listed else ''} }}"
            for copy in _COPIES
            for family, listed in elements.items()
        ]
        packet_filter.replace_table(*TABLE, _FILTER.format(sets="\n".join(sets), port=NFS_PORT))


def _exchange(name: str, listed: str) -> str:
    which = f"{' '.join(TABLE)} {name}"
    return f"flush set {which}\n" + (f"add element {which} {listed}\n" if listed else "")


def _elements(networks: Iterable[IPv4Network | IPv6Network]) -> str:
    listed = ", ".join(map(str, networks))
    return listed and f"{{ {listed} }}"
