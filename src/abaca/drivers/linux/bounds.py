"""How much of a share server clients can take, that no link-local address reaches it, and that it
calls nobody: a packet filter in its namespace, and settings of its network.

A client is an address here. The file server has bounds of its own (`file_services/nfs/ganesha.py`);
what it is as a process, its cell.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from abaca.drivers.linux import namespaces, packet_filter
from abaca.errors import Unavailable
from abaca.plugin_options import Option

MOST_CONNECTIONS = 10_000  # that NFS-Ganesha can be given
OPTIONS = {
    "max_connections": Option(
        f"Most connections to one share server at a time, from 1 to {MOST_CONNECTIONS}.", "512"
    ),
    "max_connections_per_client": Option(
        "Most connections of one client address to one share server at a time, from 1 to "
        f"{MOST_CONNECTIONS}.",
        "64",
    ),
}
TABLE = ("inet", "abaca_bounds")
NFS_PORT = 2049

# Programs of the worker that connect from a share server's namespace have this group. NFS-Ganesha
# can take any group, for the sake of its clients, so the group alone opens nothing: only where the
# worker is about to connect to.
CALLER_GROUP = 0xABACA

# What the kernel keeps for one connection: unread requests and untaken answers. All namespaces
# share TCP's memory.
_BYTES_KEPT = 512 * 1024
SETTINGS = {
    "ipv4/tcp_rmem": f"4096\t131072\t{_BYTES_KEPT}",
    "ipv4/tcp_wmem": f"4096\t16384\t{_BYTES_KEPT}",
    # Connections that never came about, and those of clients that have gone without a word, are not
    # counted for long.
    "netfilter/nf_conntrack_tcp_timeout_syn_recv": "10",
    "netfilter/nf_conntrack_tcp_timeout_established": "3600",
}

# The link-local address of a port is on none of the server's subnets: whoever came by it would be
# on none that drains, leaves or is chosen. It can be computed, and a rule such as ::/0 admits him.
# A connection counts from its first packet until it is closed. A set that is full stops counting
# newcomers, not serving them. What comes to other ports is not tracked: an entry for each port that
# a stranger tries would stay for half a minute. Calls of our own are refused at once, so that no
# thread of NFS-Ganesha's waits for one.
_FILTER = """\
set clients_ipv4 {{ type ipv4_addr; size 65535; flags dynamic; }}
set clients_ipv6 {{ type ipv6_addr; size 65535; flags dynamic; }}
set called_ipv4 {{ type ipv4_addr . inet_service; flags timeout; }}
set called_ipv6 {{ type ipv6_addr . inet_service; flags timeout; }}
chain unserved {{
    type filter hook prerouting priority raw; policy accept;
    iif != lo meta l4proto != tcp notrack
    iif != lo tcp dport != {port} notrack
}}
chain arriving {{
    type filter hook input priority filter; policy accept;
    iif != lo tcp dport {port} ip6 daddr fe80::/10 reject with tcp reset
    iif != lo tcp dport {port} tcp flags & (fin|syn|rst|ack) == syn jump newcomer
}}
chain newcomer {{
    add @clients_ipv4 {{ ip saddr ct count over {most} }} reject with tcp reset
    add @clients_ipv6 {{ ip6 saddr ct count over {most} }} reject with tcp reset
}}
chain leaving {{
    type filter hook output priority filter; policy drop;
    oif lo accept
    meta l4proto {{ 1, 58 }} accept  # ICMP; a bare Debian has no file of protocols' names
    meta l4proto tcp tcp flags & (syn|ack) != syn accept
    meta skgid {caller} ip daddr . tcp dport @called_ipv4 accept
    meta skgid {caller} ip6 daddr . tcp dport @called_ipv6 accept
    meta l4proto tcp reject with tcp reset
    reject
}}
"""


class Bounds(NamedTuple):
    """Connections to one share server at a time: in all, and of one client."""

    connections: int
    connections_per_client: int

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Bounds:
        """Raises Unavailable when an option makes no sense."""
        return cls(*(_count(options, name) for name in OPTIONS))

    def ensure(self, namespace: str) -> None:
        """Have filter and settings in the namespace of a share server; connections that were
        counted stay counted."""
        text = _FILTER.format(port=NFS_PORT, most=self.connections_per_client, caller=CALLER_GROUP)

        def act(_: object) -> None:
            namespaces.set_sysctl(SETTINGS)
            packet_filter.ensure_table(*TABLE, text)

        namespaces.inside(namespace, act)


def let_call(namespace: str, address: IPv4Address | IPv6Address, port: int, seconds: int) -> None:
    """For so long, programs of CALLER_GROUP may connect from a share server's namespace to this TCP
    port of this address."""
    name = f"{' '.join(TABLE)} called_ipv{address.version}"
    element = f"{{ {address} . {port} timeout {seconds}s }}"
    # An existing one would keep the rest of its time.
    text = (
        f"add element {name} {element}\ndelete element {name} {element}\nadd element {name} "
        f"{element}\n"
    )
    namespaces.inside(namespace, lambda _: packet_filter.apply(text))


def _count(options: Mapping[str, str], name: str) -> int:
    given = options[name]
    if not (given.isascii() and given.isdecimal()) or not 1 <= int(given) <= MOST_CONNECTIONS:
        raise Unavailable(
            f"option {name} must be a number from 1 to {MOST_CONNECTIONS}, not '{given}'"
        )
    return int(given)
