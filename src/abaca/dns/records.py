"""What is published: names, each with its addresses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address

from abaca.addresses import Address

Names = Mapping[str, frozenset[Address]]
"""Fully qualified names in lower case, without the dot at the end, and the addresses of each."""

ReadNames = Callable[[], Names]
"""Reads the names when it is called."""

MOST_ADDRESSES = 32
"""Of one name and one type. More are not published: a resolver would have to ask again over TCP,
and no client tries them all."""


_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST = 253


class DnsError(Exception):
    """Names could not be published. The text says where and why, in less than 500 characters."""

    def __init__(self, text: str) -> None:
        super().__init__(text[:500])


def is_name(text: str, domain: str) -> bool:
    """Whether it is the name of a host (RFC 1123), in lower case, below the domain. Whatever else
    a row may hold never gets into a zone file or a message."""
    is_host = len(text) <= _LONGEST and _NAME.fullmatch(text) is not None
    return is_host and text.endswith(f".{domain}")


def by_type(addresses: frozenset[Address]) -> dict[str, list[Address]]:
    """Record type, `A` or `AAAA`, → its addresses in order, at most MOST_ADDRESSES of each; types
    without any are left out."""
    found: dict[str, list[Address]] = {}
    for address in sorted(addresses, key=lambda one: (one.version, int(one))):
        of_type = found.setdefault("AAAA" if isinstance(address, IPv6Address) else "A", [])
        if len(of_type) < MOST_ADDRESSES:
            of_type.append(address)
    return found
