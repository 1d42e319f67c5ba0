"""Port security in nft's language: which frames the ports of the bridges may send, and which reach a share server's. Text only.

What these walls are, and what they cannot be: docs/security.md. Bridges carry ARP, IPv4 and IPv6 and nothing else: no VLAN tags
within a network, under which addresses could hide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

# The kernel takes no other ARP; what is addressed otherwise has its addresses elsewhere than the rules look.
_ODD_ARP = "ether type arp @nh,0,48 != 0x000108000604 drop"
_ADVERTISED = "icmpv6 type nd-neighbor-advert @th,64,128"  # the target address; nft 1.0.6 has no name for it
_MISLEADING = ("icmp type redirect drop", "icmpv6 type { nd-router-advert, nd-redirect } drop")
# What a machine sends before it has an address: neighbour and router solicitations, reports of the groups that it joins.
_WITHOUT_ADDRESS = "icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report } accept"


class Role(StrEnum):
    """Who is behind a port."""

    SERVER = "server"
    MACHINE = "machine"  # sends with the port's addresses only
    ROUTER = "router"  # forwards for addresses behind it, too


class Identity(NamedTuple):
    """What a port of `bridge` may send as. `addresses`: IPv4 and IPv6, without prefix length; empty: they are not known."""

    role: Role
    bridge: str
    mac_address: str
    addresses: tuple[str, ...]


class _Senders(NamedTuple):
    """Addresses by kind, as one or several ports send with them."""

    macs: list[str]
    ipv4: list[str]
    ipv6: list[str]

    def without(self, others: _Senders) -> _Senders:
        return _Senders(*([each for each in own if each not in theirs] for own, theirs in zip(self, others, strict=True)))


def table_body(identities: Mapping[str, Identity], uplinks: Mapping[str, str]) -> str:
    """The chains of the table, of the family `bridge`. `identities`: by port. `uplinks`: the bridge of each port that many are behind.

    A port that is in neither passes nothing.
    """
    sent = {name: _sent_by(name, own, identities) for name, own in identities.items()}
    sent |= {name: _any_but(_senders(_on(bridge, identities))) for name, bridge in uplinks.items()}
    received = {name: _received_by(own) for name, own in identities.items() if own.role is Role.SERVER}
    return "\n".join(
        [
            *(_chain(f"from_{name}", [*rules, "drop"]) for name, rules in sent.items()),
            *(_chain(f"to_{name}", [*rules, "drop"]) for name, rules in received.items()),
            _chain("sent", ["type filter hook prerouting priority -300; policy drop;", *_by_port("iifname", "from", sent)]),
            _chain("received", ["type filter hook forward priority 0; policy accept;", *_by_port("oifname", "to", received)]),
        ]
    )


def link_local(mac_address: str) -> str:
    """The IPv6 link-local address that the kernel makes of a MAC address."""
    octets = bytes.fromhex(mac_address.replace(":", ""))
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))))


def _sent_by(name: str, own: Identity, identities: Mapping[str, Identity]) -> list[str]:
    others = {other: identity for other, identity in _on(own.bridge, identities).items() if other != name}
    mine = _senders({name: own})
    if own.role is not Role.SERVER:
        mine = mine.without(_senders({other: identity for other, identity in others.items() if identity.role is Role.SERVER}))
    if not mine.macs:
        return []
    (mac,) = mine.macs
    pinned = [f"ether saddr != {mac} drop", f"arp saddr ether != {mac} drop"]
    if not own.addresses:
        return [*pinned, *_any_but(_senders(others))]
    pinned += [f"arp saddr ip != {_set([*mine.ipv4, '0.0.0.0'])} drop", f"{_ADVERTISED} != {_targets(mine.ipv6)} drop"]
    if own.role is Role.ROUTER:
        soliciting = f"icmpv6 type nd-neighbor-solicit ip6 saddr != {_set([*mine.ipv6, '::'])} drop"
        return [*pinned, soliciting, *_any_but(_senders(others))]
    return [
        *pinned,
        _ODD_ARP,
        "ether type arp accept",
        *_MISLEADING,
        *(f"ip saddr {_set(each)} accept" for each in [mine.ipv4] if each),
        f"ip6 saddr :: {_WITHOUT_ADDRESS}",
        f"ip6 saddr {_set(mine.ipv6)} accept",
    ]


def _any_but(others: _Senders) -> list[str]:
    """Whatever does not claim to be one of these."""
    rules = [_ODD_ARP]
    if others.macs:
        rules += [f"ether saddr {_set(others.macs)} drop", f"arp saddr ether {_set(others.macs)} drop"]
    if others.ipv4:
        rules += [f"arp saddr ip {_set(others.ipv4)} drop", f"ip saddr {_set(others.ipv4)} drop"]
    if others.ipv6:
        rules += [f"{_ADVERTISED} {_targets(others.ipv6)} drop", f"ip6 saddr {_set(others.ipv6)} drop"]
    return [*rules, "ether type { arp, ip, ip6 } accept"]


def _received_by(server: Identity) -> list[str]:
    """For its own addresses, and nothing that would teach it other ways: an address of one network is not there for another's."""
    own = _senders({"": server})
    return [
        "ether type arp accept",
        *_MISLEADING,
        *(f"ip daddr {_set(each)} accept" for each in [own.ipv4] if each),
        f"ip6 daddr {_set(own.ipv6)} accept",
        "ip6 daddr ff02::/16 accept",  # neighbours ask for it by multicast
    ]


def _on(bridge: str, identities: Mapping[str, Identity]) -> dict[str, Identity]:
    return {name: identity for name, identity in identities.items() if identity.bridge == bridge}


def _senders(identities: Mapping[str, Identity]) -> _Senders:
    addresses = {ip_address(address) for identity in identities.values() for address in identity.addresses}
    macs = sorted({identity.mac_address for identity in identities.values()})
    ipv4, ipv6 = (sorted(str(address) for address in addresses if address.version == version) for version in (4, 6))
    return _Senders(macs, ipv4, sorted({*ipv6, *map(link_local, macs)}))


def _by_port(key: str, direction: str, rules: Iterable[str]) -> list[str]:
    verdicts = [f'"{name}" : goto {direction}_{name}' for name in sorted(rules)]
    return [f"{key} vmap {_set(verdicts)}"] if verdicts else []


def _chain(name: str, rules: Sequence[str]) -> str:
    return f"chain {name} {{\n" + "\n".join(rules) + "\n}"


def _set(elements: Iterable[str]) -> str:
    return f"{{ {', '.join(elements)} }}"


def _targets(ipv6: Iterable[str]) -> str:
    return _set(f"0x{int(IPv6Address(address)):032x}" for address in ipv6)
