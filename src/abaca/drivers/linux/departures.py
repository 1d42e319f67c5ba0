"""Taking addresses from a share server in use, so that the clients that are connected by them learn
of it at once.

A removed address says nothing any more: its clients would wait for answers until their TCP gives
up, and the server would keep their connections as long. So their connections are reset first, and
whoever knocks meanwhile is reset, too; the packet filter that does it ends by itself after
`MOST_SECONDS`, should the worker die over it. What such a client held goes when its lease ends,
unless it goes on by another address before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

from abaca.drivers.linux import connections, namespaces, packet_filter

TABLE = ("inet", "abaca_departure")
MOST_SECONDS = 30
# Before those of bounds and admission: nobody is counted who is not let in.
_FILTER = """\
{sets}
chain arriving {{
    type filter hook input priority filter - 20; policy accept;
    meta l4proto tcp ip daddr @ipv4 reject with tcp reset
    meta l4proto tcp ip6 daddr @ipv6 reject with tcp reset
    meta l4proto tcp iifname @ports reject with tcp reset
}}
"""


@contextmanager
def departing(namespace: str, addresses: Collection[str], ports: Collection[str]) -> Iterator[None]:
    """Reset whoever is connected by these addresses of the namespace or these interfaces, and
    whoever wants to be while the block runs, in which they are taken away."""
    try:
        if addresses or ports:
            body = _FILTER.format(sets="\n".join(_sets(addresses, ports)))
            namespaces.inside(namespace, lambda _: packet_filter.replace_table(*TABLE, body))
            connections.reset(namespace, addresses, ports)
        yield
    finally:
        let_in(namespace)


def let_in(namespace: str) -> None:
    """Whom a worker that died in `departing` has left outside."""
    namespaces.inside(namespace, lambda _: packet_filter.delete_table(*TABLE))


def _sets(addresses: Iterable[str], ports: Iterable[str]) -> Iterator[str]:
    by_version: dict[int, list[str]] = {4: [], 6: []}
    for address in map(ip_address, sorted(addresses)):
        by_version[address.version].append(str(address))
    yield _set("ipv4", "ipv4_addr", by_version[4])
    yield _set("ipv6", "ipv6_addr", by_version[6])
    yield _set("ports", "ifname", [f'"{port}"' for port in sorted(ports)])


def _set(name: str, kind: str, elements: Sequence[str]) -> str:
    held = f"elements = {{ {', '.join(elements)} }};" if elements else ""
    return f"set {name} {{ type {kind}; flags timeout; timeout {MOST_SECONDS}s; {held} }}"
