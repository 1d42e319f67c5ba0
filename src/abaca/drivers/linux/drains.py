"""Subnets of a share server that drain: a packet filter in its namespace refuses new clients at the
server's addresses there. Clients that are connected go on, and may come back for a while when their
connection breaks.

A client is an address here. It counts as connected from the handshake on, with each packet that it
sends, so forged packets make nobody known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address

from abaca.drivers.linux import namespaces, packet_filter
from abaca.drivers.linux.bounds import NFS_PORT
from abaca.values import NetworkInfo

TABLE = ("inet", "abaca_drains")
COMES_BACK_SECONDS = 120
"""So long after its last packet a client may connect again: a file server that has died is started
again in seconds, and NFS clients wait up to a minute and a half between attempts."""

# After the table of admission, which resets strangers, and before that of bounds: whoever is
# refused here does not count there.
_FILTER = """\
{sets}
chain arriving {{
    type filter hook input priority filter - 5; policy accept;
{jumps}
}}
{chains}
"""
_SETS = """\
set leaving_{family} {{ type {type}; elements = {{ {addresses} }}; }}
set known_{family} {{
    type {type} . {type}; size 65535; flags dynamic,timeout; timeout {seconds}s;
}}
"""
_JUMP = "    iif != lo tcp dport {port} {ip} daddr @leaving_{family} jump {family}"
_CHAIN = """\
chain {family} {{
    tcp flags & (fin|syn|rst|ack) == syn {ip} daddr . {ip} saddr @known_{family} accept
    tcp flags & (fin|syn|rst|ack) == syn reject with tcp reset
    ct state established ct status assured update @known_{family} {{ {ip} daddr . {ip} saddr }}
}}
"""
_FAMILIES = {4: ("ipv4", "ipv4_addr", "ip"), 6: ("ipv6", "ipv6_addr", "ip6")}


def refuse_newcomers(namespace: str, network_info: Iterable[NetworkInfo]) -> None:
    """Refuse new clients at the addresses on those of the subnets that drain, and nowhere else, in
    the namespace of a share server. Clients that are known stay known while the same drain."""
    leaving = sorted(
        allocation.ip_address
        for info in network_info
        if info.is_draining
        for allocation in info.network_allocations
    )
    namespaces.inside(namespace, lambda _: _refuse(leaving))


def _refuse(leaving: Sequence[str]) -> None:
    if leaving:
        packet_filter.ensure_table(*TABLE, _body(leaving))
    elif TABLE in packet_filter.tables():
        packet_filter.delete_table(*TABLE)


def _body(leaving: Sequence[str]) -> str:
    parts = list(_by_family(leaving))
    return _FILTER.format(
        sets="".join(_SETS.format(**part) for part in parts),
        jumps="\n".join(_JUMP.format(**part) for part in parts),
        chains="".join(_CHAIN.format(**part) for part in parts),
    )


def _by_family(leaving: Sequence[str]) -> Iterator[dict[str, object]]:
    for version, (family, type_, ip) in _FAMILIES.items():
        addresses = ", ".join(a for a in leaving if ip_address(a).version == version)
        if addresses:
            yield {
                "family": family,
                "type": type_,
                "ip": ip,
                "addresses": addresses,
                "seconds": COMES_BACK_SECONDS,
                "port": NFS_PORT,
            }
