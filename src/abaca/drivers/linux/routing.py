"""Addresses and routes of a share server: one routing table an address, chosen by the source of
what is sent.

So replies leave by the interface that the request came in on, clients behind routers work on every
subnet, and a new subnet changes no route that is there: the kernel's own table stays empty of them
(addresses without prefix routes).
"""

from __future__ import annotations

import socket
import zlib
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces

RULE_PRIORITY = 1000
# Duplicate address detection would keep an IPv6 address from answering for a second.
IFA_F_NODAD = 0x02
IFA_F_NOPREFIXROUTE = 0x200
RTNH_F_ONLINK = 4
SCOPE_LINK = 253
RESERVED_TABLES = 256

_OF_EACH_LINK = {
    # An interface answers for its own addresses only: two ports on one subnet would otherwise
    # answer for each other.
    "ipv4/conf/{}/arp_ignore": "1",
    "ipv4/conf/{}/arp_announce": "2",
    "ipv4/conf/{}/arp_accept": "0",
    "ipv4/conf/{}/proxy_arp": "0",
    # What comes by another link than the answer would go by is dropped. With a table an address
    # (below), the right link is always known.
    "ipv4/conf/{}/rp_filter": "1",
    # Neighbours tell it no other ways.
    "ipv4/conf/{}/accept_redirects": "0",
    "ipv4/conf/{}/secure_redirects": "0",
    "ipv4/conf/{}/send_redirects": "0",
    "ipv4/conf/{}/accept_source_route": "0",
    "ipv4/conf/{}/accept_local": "0",
    "ipv4/conf/{}/route_localnet": "0",
    "ipv6/conf/{}/accept_redirects": "0",
    "ipv6/conf/{}/accept_source_route": "-1",
    "ipv6/conf/{}/autoconf": "0",
    "ipv6/conf/{}/proxy_ndp": "0",
    "ipv6/conf/{}/suppress_frag_ndisc": "1",
    "ipv6/conf/{}/seg6_enabled": "0",
    # Addresses are given, nobody is asked whether they are free: a neighbour could say of each that
    # it is not.
    "ipv6/conf/{}/accept_dad": "0",
    "ipv6/conf/{}/router_solicitations": "0",
    # Link-local addresses come of MAC addresses: port security knows no others.
    "ipv6/conf/{}/addr_gen_mode": "0",
    "ipv6/conf/{}/use_tempaddr": "0",
    "ipv6/conf/{}/disable_ipv6": "0",
}
SERVER_SETTINGS = {
    name.format(links): value
    for name, value in _OF_EACH_LINK.items()
    for links in ("all", "default")
} | {
    "ipv4/icmp_echo_ignore_broadcasts": "1",
    "ipv4/icmp_ignore_bogus_error_responses": "1",
    "ipv6/icmp/echo_ignore_multicast": "1",
    "ipv6/icmp/echo_ignore_anycast": "1",
}


class Address(NamedTuple):
    """An address of a server on the interface `port`. `cidr`: its subnet; `gateway`: the subnet's
    router, if it has one."""

    port: str
    ip_address: str
    cidr: str
    gateway: str | None

    @property
    def family(self) -> int:
        return int(socket.AF_INET if ip_address(self.ip_address).version == 4 else socket.AF_INET6)

    @property
    def prefix_length(self) -> int:
        return ip_network(self.cidr, strict=False).prefixlen

    @property
    def table(self) -> int:
        """The number of its routing table: always the same, beyond the reserved ones."""
        return RESERVED_TABLES + zlib.crc32(ip_address(self.ip_address).packed) % (
            2**32 - RESERVED_TABLES
        )


def add_addresses(namespace: str, addresses: Iterable[Address]) -> list[Address]:
    """Make sure of these addresses, their tables and rules; leaves others alone and touches nothing
    that is right. Returns those that were not there."""

    def act(links: IPRoute) -> list[Address]:
        added = []
        for address in addresses:
            index = links.link_lookup(ifname=address.port)[0]
            _ensure_routes(links, address, index)
            _ensure_rule(links, address)
            # last: it answers only when its replies know their way
            if _ensure_address(links, address, index):
                added.append(address)
        return added

    return namespaces.inside(namespace, act)


def remove_addresses(namespace: str, ip_addresses: Iterable[str]) -> None:
    """Take addresses away with their tables and rules. Nothing there is success."""

    def act(links: IPRoute) -> None:
        for ip in ip_addresses:
            address = Address("", ip, ip, None)
            for found in _addresses(links, address):
                links.addr("del", index=found["index"], address=ip, prefixlen=found["prefixlen"])
            links.flush_routes(family=address.family, table=address.table)
            # last: by its rule an address is found again, should this end here
            if _rules(links, address):
                links.rule("del", family=address.family, **_rule(address))

    namespaces.inside(namespace, act)


def addresses_of(namespace: str) -> set[str]:
    """The addresses that were added to a namespace: those that have a rule."""

    def act(links: IPRoute) -> set[str]:
        rules = [
            rule
            for family in (socket.AF_INET, socket.AF_INET6)
            for rule in links.get_rules(family=family)
        ]
        return {
            str(ip_address(rule.get("FRA_SRC")))
            for rule in rules
            if rule.get("FRA_PRIORITY") == RULE_PRIORITY
        }

    return namespaces.inside(namespace, act)


def stands(links: IPRoute, address: Address) -> bool:
    """Whether the address is on its port, with its rule and routes. `links`: of the namespace."""
    ports = links.link_lookup(ifname=address.port)
    on = {found["index"] for found in _addresses(links, address)}
    return bool(
        ports
        and on == set(ports)
        and _rules(links, address)
        and _has_routes(links, address, ports[0])
    )


def _rule(address: Address) -> dict[str, object]:
    length = 32 if address.family == socket.AF_INET else 128
    return {
        "src": address.ip_address,
        "src_len": length,
        "table": address.table,
        "priority": RULE_PRIORITY,
    }


def _rules(links: IPRoute, address: Address) -> list[object]:
    return [
        rule
        for rule in links.get_rules(family=address.family)
        if rule.get("FRA_TABLE") == address.table
    ]


def _ensure_rule(links: IPRoute, address: Address) -> None:
    if not _rules(links, address):
        links.rule("add", family=address.family, **_rule(address))


def _ensure_routes(links: IPRoute, address: Address, index: int) -> None:
    if _has_routes(links, address, index):
        return
    links.flush_routes(family=address.family, table=address.table)
    for destination, extra in _routes(address).items():
        links.route(
            "add", family=address.family, dst=destination, oif=index, table=address.table, **extra
        )


def _routes(address: Address) -> dict[str, dict[str, object]]:
    """What its table holds, by destination: its subnet and, where there is a gateway, all else."""
    subnet = str(ip_network(address.cidr, strict=False))
    wanted: dict[str, dict[str, object]] = {
        subnet: {"scope": SCOPE_LINK} if address.family == socket.AF_INET else {}
    }
    if address.gateway:
        wanted["default"] = {"gateway": str(ip_address(address.gateway)), "flags": RTNH_F_ONLINK}
    return wanted


def _has_routes(links: IPRoute, address: Address, index: int) -> bool:
    present = {}
    for route in links.get_routes(family=address.family, table=address.table):
        destination = (
            f"{route.get('RTA_DST')}/{route['dst_len']}" if route["dst_len"] else "default"
        )
        present[destination] = (route.get("RTA_OIF"), route.get("RTA_GATEWAY"))
    return present == {
        destination: (index, extra.get("gateway"))
        for destination, extra in _routes(address).items()
    }


def _addresses(links: IPRoute, address: Address) -> list[dict[str, int]]:
    wanted = ip_address(address.ip_address)
    return [
        found
        for found in links.get_addr(family=address.family)
        if ip_address(found.get("IFA_ADDRESS")) == wanted
    ]


def _ensure_address(links: IPRoute, address: Address, index: int) -> bool:
    """True when it had to be added."""
    for found in _addresses(links, address):
        if found["index"] == index and found["prefixlen"] == address.prefix_length:
            return False
        links.addr(
            "del", index=found["index"], address=address.ip_address, prefixlen=found["prefixlen"]
        )
    flags = IFA_F_NOPREFIXROUTE | (IFA_F_NODAD if address.family == socket.AF_INET6 else 0)
    links.addr(
        "add", index=index, address=address.ip_address, prefixlen=address.prefix_length, flags=flags
    )
    return True
