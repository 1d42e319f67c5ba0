"""IP addresses and prefixes as text from outside. They have no zone (`fe80::1%eth0`): that is an
interface of whoever wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_FOR_HOSTS = [
    ip_network(cidr)
    for cidr in (
        "0.0.0.0/8",  # this network
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local
        "224.0.0.0/4",  # multicast
        "::/96",  # unspecified, loopback
        "::ffff:0:0/96",  # IPv4 written as IPv6
        "fe80::/10",  # link-local
        "ff00::/8",  # multicast
    )
]
_MOST_SHOWN = 8


def plain_address(text: str) -> Address:
    """The address that `text` is. Raises ValueError when it is none or has a zone."""
    _refuse_zone(text)
    return ip_address(text)


def plain_network(text: str, *, strict: bool = True) -> Network:
    """The prefix that `text` is; `strict`: without host bits. Raises ValueError when it is none or
    has a zone."""
    _refuse_zone(text)
    return ip_network(text, strict=strict)


def special_part(network: Network) -> Network | None:
    """A range that the network overlaps and whose addresses are not for hosts: loopback,
    link-local, multicast and the like. Python's own `is_…` look at a network's ends only."""
    return next((each for each in _NOT_FOR_HOSTS if network.overlaps(each)), None)


def first_of(addresses: Sequence[str]) -> str:
    """The first few addresses as text, and how many more there are."""
    shown = ", ".join(addresses[:_MOST_SHOWN])
    more = len(addresses) - _MOST_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _refuse_zone(text: str) -> None:
    if "%" in text:
        raise ValueError(f"{text!r} has a zone")
