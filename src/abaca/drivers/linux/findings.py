"""What stands between a share server's address and a client, from where the wires end: the address,
the way back, the client's answer. For people who ask why a client reaches no share.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address

from pyroute2 import IPRoute, NetlinkError

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.routing import Address, stands
from abaca.values import Finding

ANSWER_SECONDS = 4.0  # the kernel asks three times, a second apart
_NTF_USE = 0x01
_NUD_INCOMPLETE, _NUD_FAILED, _NUD_PROBE = 0x01, 0x20, 0x10
_AGAIN = "start `abaca serve` again, which puts it right"


def of(namespace: str, address: Address, client: str | None) -> Iterator[Finding]:
    """The address in the share server's namespace, and the way from it to a client of the same IP
    version."""
    there = namespaces.inside(namespace, lambda links: stands(links, address))
    yield Finding(
        what=f"address {address.ip_address}",
        seen=f"on {address.port}, with routes of its own",
        lack=None if there else f"it, or its routes, are not on {address.port}; {_AGAIN}",
    )
    if there and client and ip_address(client).version == ip_address(address.ip_address).version:
        yield from namespaces.inside(namespace, lambda links: list(_way(links, address, client)))


def _way(links: IPRoute, address: Address, client: str) -> Iterator[Finding]:
    what = f"route to {client}"
    try:
        (route,) = links.route("get", dst=client, src=address.ip_address)
    except NetlinkError:
        yield Finding(
            what=what,
            lack=f"{address.cidr} has no gateway, and {client} is not in it: make the subnet anew "
            "with `--gateway`, or use a client on it",
        )
        return
    router = route.get("RTA_GATEWAY")
    yield Finding(what=what, seen=f"by the router {router}" if router else "directly")
    next_hop = str(router or client)
    mac_address = _asked(links, next_hop, route.get("RTA_OIF"), address.family)
    asked_by = "ARP" if address.family == socket.AF_INET else "neighbour solicitations"
    silent = (
        f"it does not answer {asked_by}: is it up, and on this network (the same VLAN at its "
        "switch port)?"
    )
    yield Finding(
        what=f"neighbour {next_hop}",
        seen=f"answers, MAC address {mac_address}",
        lack=None if mac_address else silent,
    )


def _asked(links: IPRoute, next_hop: str, interface: int, family: int) -> str | None:
    """The MAC address that a neighbour tells when it is asked now; None: it tells nothing."""
    known = partial(links.get_neighbours, family=family, dst=next_hop, ifindex=interface)
    valid = any(found.get("NDA_LLADDR") for found in known())
    # A neighbour that was heard of before may have gone: it is asked anew.
    how = {"state": _NUD_PROBE} if valid else {"state": 0, "flags": _NTF_USE}
    links.neigh("replace", family=family, dst=next_hop, ifindex=interface, **how)
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        for found in known():
            if found["state"] not in (0, _NUD_INCOMPLETE, _NUD_PROBE):
                return None if found["state"] == _NUD_FAILED else str(found.get("NDA_LLADDR"))
        time.sleep(0.05)
    return None
