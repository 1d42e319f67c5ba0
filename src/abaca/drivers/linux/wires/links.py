"""Links by name, in the namespace that `links` (pyroute2's netlink) is connected to: named after
what they are for, found, deleted."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable
from typing import Any

from pyroute2 import IPRoute, NetlinkError

BRIDGE_PREFIX = "br"
PORT_PREFIX = "p"


def short_name(prefix: str, *parts: str) -> str:
    """A name of at most 15 characters, always the same for the same parts. `prefix`: at most 3
    characters."""
    return prefix + hashlib.sha256("/".join(parts).encode()).hexdigest()[:12]


def find(links: IPRoute, name: str) -> Any:
    """The link of that name, or None. Asked for by its name: a list of hundreds takes hundreds of
    times as long."""
    try:
        return next(iter(links.link("get", ifname=name)))
    except NetlinkError as error:
        if error.code != errno.ENODEV:
            raise
        return None


def delete(links: IPRoute, names: Iterable[str]) -> None:
    """Take links away. Nothing there is success."""
    for name in names:
        for index in links.link_lookup(ifname=name):
            try:
                links.link("del", index=index)
            except NetlinkError as error:
                # it went by itself just now, with the namespace of its other end
                if error.code != errno.ENODEV:
                    raise
