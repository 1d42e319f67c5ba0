"""Port security in nft's language: which frames the ports of the bridges may send, and which reach
a share server's. Text only.

What these walls are, and what they cannot be: docs/security.md. Bridges carry ARP, IPv4 and IPv6
and nothing else: no VLAN tags within a network, under which addresses could hide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

# The kernel takes no other ARP; what is addressed otherwise has its addresses elsewhere than the
# rules look.
_ODD_ARP = "ether type arp @nh,0,48 != 0x000108000604 drop"
_REMEMBERED = 4096  # the same addresses are written at every change of any port
# the address that a neighbour advertisement is of; nft 1.0.6 has no name for it
_TARGET = "@th,64,128"
_MISLEADING = ["icmp type redirect drop", "icmpv6 type { nd-router-advert, nd-redirect } drop"]
# What a machine sends before it has an address: neighbour and router solicitations, reports of the
# groups that it joins.
_WITHOUT_ADDRESS = [
    "icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, "
    "mld2-listener-report } accept",
    "drop",
]


class Role(StrEnum):
    """Who is behind a port."""

    SERVER = "server"
    MACHINE = "machine"  # sends with the port's addresses only
    ROUTER = "router"  # forwards for addresses behind it, too


class Identity(NamedTuple):
    """What a port of `bridge` may send as. `addresses`: IPv4 and IPv6, without prefix length;
    empty: they are not known."""

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
        return _Senders(
            *(
                [each for each in own if each not in theirs]
                for own, theirs in zip(self, others, strict=True)
            )
        )


def table_body(identities: Mapping[str, Identity], uplinks: Mapping[str, str]) -> str:
    """The chains of the table, of the family `bridge`. `identities`: by port. `uplinks`: the bridge
    of each port that many are behind.

    A port that is in neither passes nothing.
    """
    on = _by_bridge(identities)
    may = {name: _may_send_as(own, on[own.bridge]) for name, own in identities.items()}
    advertised = {
        name: [f"{_TARGET} {_number(address)} return" for address in may[name].ipv6]
        for name, own in identities.items()
        if own.addresses
    }
    sent = {
        name: _sent_by(name, own, may[name], on[own.bridge]) for name, own in identities.items()
    }
    sent |= {name: _any_but(_senders(on.get(bridge, {}))) for name, bridge in uplinks.items()}
    received = {
        name: _received_by(own) for name, own in identities.items() if own.role is Role.SERVER
    }
    return "\n".join(
        [
            _chain("misleading", _MISLEADING),
            _chain("without_address", _WITHOUT_ADDRESS),
            *(_chain(f"advertised_{name}", [*rules, "drop"]) for name, rules in advertised.items()),
            *(_chain(f"from_{name}", [*rules, "drop"]) for name, rules in sent.items()),
            *(_chain(f"to_{name}", [*rules, "drop"]) for name, rules in received.items()),
            _chain(
                "sent",
                [
                    "type filter hook prerouting priority -300; policy drop;",
                    *_by_port("iifname", "from", sent),
                ],
            ),
            _chain(
                "received",
                [
                    "type filter hook forward priority 0; policy accept;",
                    *_by_port("oifname", "to", received),
                ],
            ),
        ]
    )


@lru_cache(maxsize=_REMEMBERED)
def link_local(mac_address: str) -> str:
    """The IPv6 link-local address that the kernel makes of a MAC address."""
    octets = bytes.fromhex(mac_address.replace(":", ""))
    return str(
        IPv6Address(
            b"\xfe\x80" + bytes(6) + bytes((octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]))
        )
    )


def _may_send_as(own: Identity, neighbours: Mapping[str, Identity]) -> _Senders:
    """Its own addresses, without those of share servers unless it is one. `neighbours`: of its
    bridge, itself included."""
    mine = _senders({"": own})
    if own.role is Role.SERVER:
        return mine
    return mine.without(
        _senders({name: each for name, each in neighbours.items() if each.role is Role.SERVER})
    )


def _sent_by(
    name: str, own: Identity, mine: _Senders, neighbours: Mapping[str, Identity]
) -> list[str]:
    if not mine.macs:
        return []
    (mac,) = mine.macs
    pinned = [f"ether saddr != {mac} drop", f"arp saddr ether != {mac} drop"]
    if own.addresses:
        pinned.append(f"icmpv6 type nd-neighbor-advert jump advertised_{name}")
    if own.addresses and own.role is not Role.ROUTER:
        return [*pinned, *_exactly(mine)]
    others = {other: each for other, each in neighbours.items() if other != name}
    return [*pinned, *(_asked_by(mine) if own.addresses else []), *_any_but(_senders(others))]


def _exactly(mine: _Senders) -> list[str]:
    # A rule an address, not a set: a set for each port costs the kernel more than all its rules.
    return [
        _ODD_ARP,
        *(f"arp saddr ip {address} accept" for address in [*mine.ipv4, "0.0.0.0"]),
        "jump misleading",
        *(f"ip saddr {address} accept" for address in mine.ipv4),
        "ip6 saddr :: goto without_address",
        *(f"ip6 saddr {address} accept" for address in mine.ipv6),
    ]


def _asked_by(mine: _Senders) -> list[str]:
    """A router asks by ARP and neighbour discovery with its own addresses, whoever it forwards
    for."""
    return [
        f"arp saddr ip != {_set([*mine.ipv4, '0.0.0.0'])} drop",
        f"icmpv6 type nd-neighbor-solicit ip6 saddr != {_set([*mine.ipv6, '::'])} drop",
    ]


def _any_but(others: _Senders) -> list[str]:
    """Whatever does not claim to be one of these."""
    rules = [_ODD_ARP]
    if others.macs:
        rules += [
            f"ether saddr {_set(others.macs)} drop",
            f"arp saddr ether {_set(others.macs)} drop",
        ]
    if others.ipv4:
        rules += [f"arp saddr ip {_set(others.ipv4)} drop", f"ip saddr {_set(others.ipv4)} drop"]
    if others.ipv6:
        targets = _set(map(_number, others.ipv6))
        rules += [
            f"icmpv6 type nd-neighbor-advert {_TARGET} {targets} drop",
            f"ip6 saddr {_set(others.ipv6)} drop",
        ]
    return [*rules, "ether type { arp, ip, ip6 } accept"]


def _received_by(server: Identity) -> list[str]:
    """For its own addresses, and nothing that would teach it other ways: an address of one network
    is not there for another's."""
    own = _senders({"": server})
    return [
        "ether type arp accept",
        "jump misleading",
        *(f"ip daddr {address} accept" for address in own.ipv4),
        *(f"ip6 daddr {address} accept" for address in own.ipv6),
        "ip6 daddr ff02::/16 accept",  # neighbours ask for it by multicast
    ]


def _by_bridge(identities: Mapping[str, Identity]) -> dict[str, dict[str, Identity]]:
    found: dict[str, dict[str, Identity]] = {}
    for name, identity in identities.items():
        found.setdefault(identity.bridge, {})[name] = identity
    return found


def _senders(identities: Mapping[str, Identity]) -> _Senders:
    addresses = {
        _plain(address) for identity in identities.values() for address in identity.addresses
    }
    macs = sorted({identity.mac_address for identity in identities.values()})
    ipv6 = {address for address in addresses if ":" in address}
    return _Senders(macs, sorted(addresses - ipv6), sorted({*ipv6, *map(link_local, macs)}))


@lru_cache(maxsize=_REMEMBERED)
def _plain(address: str) -> str:
    return str(ip_address(address))


def _by_port(key: str, direction: str, rules: Iterable[str]) -> list[str]:
    verdicts = [f'"{name}" : goto {direction}_{name}' for name in sorted(rules)]
    return [f"{key} vmap {_set(verdicts)}"] if verdicts else []


def _chain(name: str, rules: Sequence[str]) -> str:
    return f"chain {name} {{\n" + "\n".join(rules) + "\n}"


def _set(elements: Iterable[str]) -> str:
    return f"{{ {', '.join(elements)} }}"


@lru_cache(maxsize=_REMEMBERED)
def _number(ipv6: str) -> str:
    return f"0x{int(IPv6Address(ipv6)):032x}"
