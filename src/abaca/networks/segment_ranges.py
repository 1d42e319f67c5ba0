"""Which wires local networks may be on: the options of the `local` network plug-in, in the terms of
Neutron's ML2."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from random import randrange
from typing import NamedTuple

from abaca.errors import Unavailable
from abaca.plugin_options import Option

FLAT, LOCAL, VLAN, VXLAN = "flat", "local", "vlan", "vxlan"
TYPES = (FLAT, LOCAL, VLAN, VXLAN)
TENANT_TYPES = (LOCAL, VLAN, VXLAN)
"""Types of which networks can be made without naming a wire."""

ANY = "*"
VLAN_IDS = range(1, 4095)
VNIS = range(1, 2**24)
MTUS = range(1280, 9001)  # IPv6 needs the first
VXLAN_BYTES = 50  # what a tunnel over IPv4 adds to a packet
VXLAN_BYTES_OVER_IPV6 = 70
PHYSICAL_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

OPTIONS = {
    "tenant_network_types": Option(
        "Types of the networks that are created without a type, separated by commas: vlan, vxlan. "
        "The first that has a free id is taken. Possible are local, vlan and vxlan.",
        VXLAN,
    ),
    "flat_networks": Option(
        "Physical networks on which administrators may create flat networks, separated by commas: "
        "physnet1, physnet2. *: any.",
        ANY,
    ),
    "network_vlan_ranges": Option(
        "Physical networks on which administrators may create VLAN networks, each with the VLAN "
        "ids, if any, that networks get which are created without one, separated by commas: "
        "physnet1:100:199, physnet2. *: any, without ids.",
        ANY,
    ),
    "vni_ranges": Option(
        "VXLAN ids (VNIs) that networks get which are created without one, as ranges separated by "
        "commas: 1000:1999, 5000:5999.",
        f"{VNIS[0]}:{VNIS[-1]}",
    ),
    "global_physnet_mtu": Option(
        f"MTU, in bytes, of flat, VLAN and local networks that are created without one. VXLAN "
        f"networks get {VXLAN_BYTES} bytes less, or what fits through the tunnels of all hosts.",
        "1500",
    ),
}


class SegmentRanges(NamedTuple):
    """What the options say. `flat`: names of physical networks, or ANY. `vlan`: ids by physical
    network, or by ANY. `mtu` in bytes."""

    tenant_types: tuple[str, ...]
    flat: frozenset[str]
    vlan: Mapping[str, tuple[range, ...]]
    vni: tuple[range, ...]
    mtu: int

    @classmethod
    def of(cls, options: Mapping[str, str]) -> SegmentRanges:
        """From the options that are set. Raises Unavailable, naming it, for one that makes no
        sense."""
        chosen = {name: option.default for name, option in OPTIONS.items()} | dict(options)
        made = cls(
            tuple(_items(chosen["tenant_network_types"])),
            frozenset(_physical(item, "flat_networks") for item in _items(chosen["flat_networks"])),
            _vlan_ranges(chosen["network_vlan_ranges"]),
            tuple(_range(item, "vni_ranges", VNIS) for item in _items(chosen["vni_ranges"])),
            _mtu(chosen["global_physnet_mtu"]),
        )
        _refuse_tenant_types(made)
        return made

    def mtu_of(self, network_type: str) -> int:
        """What a network of that type gets that is created without an MTU."""
        return self.mtu - VXLAN_BYTES if network_type == VXLAN else self.mtu


def ids(ranges: Sequence[range]) -> Iterator[int]:
    """All of them, from one at random to the one before it, so that those who ask at once begin at
    different ones."""
    sizes = sum(map(len, ranges))
    start = randrange(sizes) if sizes else 0
    later, earlier = [], []
    for each in ranges:
        later.append(each[start:])
        earlier.append(each[:start])
        start = max(0, start - len(each))
    return chain(*later, *earlier)


def _refuse_tenant_types(made: SegmentRanges) -> None:
    for name in made.tenant_types:
        if name not in TENANT_TYPES:
            raise Unavailable(
                f"option tenant_network_types, '{name}': must be of {', '.join(TENANT_TYPES)}"
            )
    if VLAN in made.tenant_types and not any(made.vlan.values()):
        raise Unavailable(
            "option tenant_network_types names vlan, but network_vlan_ranges has no ids: "
            "physnet1:100:199"
        )
    if VXLAN in made.tenant_types and not made.vni:
        raise Unavailable("option tenant_network_types names vxlan, but vni_ranges has no ids")


def _vlan_ranges(text: str) -> dict[str, tuple[range, ...]]:
    found: dict[str, tuple[range, ...]] = {}
    for item in _items(text):
        name, colon, bounds = item.partition(":")
        physical_network = _physical(name, "network_vlan_ranges")
        if colon and physical_network == ANY:
            raise Unavailable(f"option network_vlan_ranges, '{item}': * has no ids")
        more = (_range(bounds, "network_vlan_ranges", VLAN_IDS),) if colon else ()
        found[physical_network] = (*found.get(physical_network, ()), *more)
    return found


def _range(text: str, option: str, within: range) -> range:
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal()):
        raise Unavailable(f"option {option}, '{text}': must be FIRST:LAST, two numbers")
    if int(first) not in within or int(last) not in within or int(first) > int(last):
        raise Unavailable(
            f"option {option}, '{text}': must be between {within[0]} and {within[-1]}, the "
            "smaller number first"
        )
    return range(int(first), int(last) + 1)


def _physical(name: str, option: str) -> str:
    if name != ANY and not PHYSICAL_NETWORK.fullmatch(name):
        raise Unavailable(
            f"option {option}, '{name}': the name of a physical network has at most 64 letters, "
            "digits, '.', '-' and '_'"
        )
    return name


def _mtu(text: str) -> int:
    allowed = range(MTUS[0] + VXLAN_BYTES, MTUS[-1] + 1)
    if not text.isdecimal() or int(text) not in allowed:
        raise Unavailable(
            f"option global_physnet_mtu, '{text}': must be a number between {allowed[0]} and "
            f"{allowed[-1]}"
        )
    return int(text)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]
