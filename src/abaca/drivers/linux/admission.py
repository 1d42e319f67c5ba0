"""Who reaches the NFS server of a share server at all: source addresses that one of its access rules admits, and nobody else.

Rules of a single share are NFS-Ganesha's (`file_services/nfs/access.py`). But whoever can send it
requests can do harm without any rule: sessions of NFSv4.1 are guessed, clients are known by their
names. So a packet filter resets whatever comes to its port from other addresses, connections that
were made before a rule went included; what such a client held goes when its lease ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from abaca.drivers.linux import namespaces, packet_filter
from abaca.drivers.linux.bounds import NFS_PORT

TABLE = ("inet", "abaca_admission")

# Before the table of bounds, so that strangers are not counted. The worker asks through the loopback.
_FILTER = """\
set ipv4 {{ type ipv4_addr; flags interval; {ipv4} }}
set ipv6 {{ type ipv6_addr; flags interval; {ipv6} }}
chain arriving {{
    type filter hook input priority filter - 10; policy accept;
    iif != lo tcp dport {port} jump clients
}}
chain clients {{
    ip saddr @ipv4 accept
    ip6 saddr @ipv6 accept
    reject with tcp reset
}}
"""


def admit(namespace: str, networks: Iterable[IPv4Network | IPv6Network]) -> None:
    """Let exactly these networks reach the NFS server in this network namespace; the change is made at one stroke."""
    given = set(networks)
    ipv4 = collapse_addresses(network for network in given if isinstance(network, IPv4Network))
    ipv6 = collapse_addresses(network for network in given if isinstance(network, IPv6Network))
    text = _FILTER.format(port=NFS_PORT, ipv4=_elements(ipv4), ipv6=_elements(ipv6))
    namespaces.inside(namespace, lambda _: packet_filter.replace_table(*TABLE, text))


def _elements(networks: Iterable[IPv4Network | IPv6Network]) -> str:
    listed = ", ".join(map(str, networks))
    return f"elements = {{ {listed} }};" if listed else ""
