"""Which addresses of a subnet may be given out, and which one is given to whom. Pure arithmetic on
addresses: nothing is stored here.

An address is chosen by a hash of the key that asks for it, and from there the next free one is
taken. So the same key gets the same address again when it is free; an address that was just given
back is not handed to somebody else at once, whom clients would take for its former owner; and
nothing is ever enumerated: the work grows with the addresses taken, not with the size of the
subnet.
"""

from __future__ import annotations

import hashlib
import socket
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from itertools import accumulate, pairwise

from abaca.addresses import Address, Network, plain_address
from abaca.errors import Conflict, Invalid
from abaca.values import Value


class AddressRange(Value):
    """Addresses from `start` to `end`, both included, as text."""

    start: str
    end: str


class AddressPool:
    """The addresses in some ranges of one family that do not overlap."""

    def __init__(self, ranges: Sequence[AddressRange]) -> None:
        self._starts = [ip_address(item.start) for item in ranges]
        sizes = [
            int(ip_address(item.end)) - int(start) + 1
            for item, start in zip(ranges, self._starts, strict=True)
        ]
        self._offsets = [0, *accumulate(sizes)]

    @property
    def size(self) -> int:
        """How many addresses there are."""
        return self._offsets[-1]

    def free(self, not_free: Iterable[str]) -> int:
        """How many addresses are not among these, some of which may be outside of the ranges, or of
        the other family."""
        is_v6 = any(start.version == 6 for start in self._starts)
        family = socket.AF_INET6 if is_v6 else socket.AF_INET
        # ip_address takes five times as long, and there may be hundreds of thousands
        taken = sorted({socket.inet_pton(family, t) for t in not_free if (":" in t) == is_v6})
        return self.size - sum(
            bisect_right(taken, (start + (end - begin - 1)).packed)
            - bisect_left(taken, start.packed)
            for start, (begin, end) in zip(self._starts, pairwise(self._offsets), strict=True)
        )

    def pick(self, keys: Sequence[str], taken: Iterable[str]) -> list[str]:
        """A free address for each key, in order. Raises ValueError when there are not as many."""
        used = {int(ip_address(text)) for text in taken}
        picked = []
        for key in keys:
            address = self._next_free(_hash(key), used)
            used.add(int(address))
            picked.append(str(address))
        return picked

    def _next_free(self, start: int, used: set[int]) -> Address:
        # of so many different addresses one is free
        for step in range(min(self.size, len(used) + 1)):
            address = self._at((start + step) % self.size)
            if int(address) not in used:
                return address
        raise ValueError(f"no address of {self.size} is free")

    def _at(self, index: int) -> Address:
        which = bisect_right(self._offsets, index) - 1
        return self._starts[which] + (index - self._offsets[which])


def first_host(network: Network) -> Address:
    """The first address that a host may have: the network's own (IPv6: the routers' anycast
    address) comes before it."""
    return network.network_address + 1


def last_host(network: Network) -> Address:
    """The last address that a host may have: IPv4 ends with the broadcast address, IPv6 has
    none."""
    return network.broadcast_address - 1 if network.version == 4 else network.broadcast_address


def default_ranges(network: Network, gateway: Address | None) -> list[AddressRange]:
    """All host addresses but the gateway's."""
    first, last = first_host(network), last_host(network)
    if gateway is None:
        return [AddressRange(start=str(first), end=str(last))]
    sides = ((first, gateway - 1), (gateway + 1, last))
    return [
        AddressRange(start=str(start), end=str(end))
        for start, end in sides
        if int(start) <= int(end)
    ]


def checked_ranges(
    network: Network, gateway: Address | None, ranges: Sequence[AddressRange]
) -> list[AddressRange]:
    """`ranges` in order and in canonical text. Raises Invalid or Conflict when they leave the
    subnet, overlap or hold the gateway."""
    parsed = sorted((_parsed(network, item) for item in ranges), key=lambda pair: int(pair[0]))
    for (_, end), (start, _) in pairwise(parsed):
        if int(start) <= int(end):
            raise Conflict(
                f"Allocation pools overlap: one ends at {end}, the next begins at {start}."
            )
    for start, end in parsed:
        if gateway is not None and int(start) <= int(gateway) <= int(end):
            raise Conflict(f"Gateway {gateway} is inside the allocation pool {start}-{end}.")
    return [AddressRange(start=str(start), end=str(end)) for start, end in parsed]


def _parsed(network: Network, item: AddressRange) -> tuple[Address, Address]:
    try:
        start, end = plain_address(item.start), plain_address(item.end)
    except ValueError as error:
        raise Invalid(f"Invalid allocation pool {item.start}-{item.end}: {error}.") from None
    if start.version != network.version or end.version != network.version or int(start) > int(end):
        raise Invalid(
            f"Invalid allocation pool {start}-{end}: both must be addresses of {network}, the "
            "smaller one first."
        )
    if int(start) < int(first_host(network)) or int(end) > int(last_host(network)):
        raise Invalid(f"Allocation pool {start}-{end} goes beyond the host addresses of {network}.")
    return start, end


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
