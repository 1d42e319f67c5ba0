"""IP addresses and prefixes as text from outside. They have no zone (`fe80::1%eth0`): that is an
interface of whoever wrote it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def plain_address(text: str) -> Address:
    """The address that `text` is. Raises ValueError when it is none or has a zone."""
    _refuse_zone(text)
    return ip_address(text)


def plain_network(text: str, *, strict: bool = True) -> Network:
    """The prefix that `text` is; `strict`: without host bits. Raises ValueError when it is none or
    has a zone."""
    _refuse_zone(text)
    return ip_network(text, strict=strict)


def _refuse_zone(text: str) -> None:
    if "%" in text:
        raise ValueError(f"{text!r} has a zone")
