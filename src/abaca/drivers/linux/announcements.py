"""Telling neighbours that an address is on a share server's interface now.

A neighbour that knew the address at another MAC address, of a server that was there before, would
send to that one until it doubts it, which takes about ten seconds; so would switches. The kernel
tells of a link that comes up (`arp_notify`), but not of an address that is added.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address

from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces, routing
from abaca.drivers.linux.neighbour_frames import announcements, mac_bytes
from abaca.errors import BackendError

# RFC 5227 asks for two announcements, RFC 4861 for three at most, a second apart: a frame may be
# lost, and a switch may not forward at once.
PAUSES_SECONDS = (1.0, 1.0)

_LOG = logging.getLogger(__name__)


def announce(namespace: str, addresses: Sequence[routing.Address]) -> None:
    """Tell the neighbours of these addresses of the namespace: now, and in a thread of its own
    again for some seconds, as long as they are there. Never fails."""
    if not addresses or not _announce_once(namespace, addresses):
        return
    again = threading.Thread(
        target=_repeat, args=(namespace, addresses), name="announces", daemon=True
    )
    with suppress(RuntimeError):  # this machine has no room for another thread
        again.start()


def _repeat(namespace: str, addresses: Sequence[routing.Address]) -> None:
    for seconds in PAUSES_SECONDS:
        time.sleep(seconds)
        if not _announce_once(namespace, addresses):
            break


def _announce_once(namespace: str, addresses: Sequence[routing.Address]) -> bool:
    """False: it is of no use to try again."""
    try:
        namespaces.inside(namespace, lambda links: _send(links, addresses))
    except BackendError as error:
        if namespaces.exists(namespace):
            _LOG.warning(
                "neighbours may need seconds to find the addresses of %s: %s", namespace, error
            )
        return False
    return True


def _send(links: IPRoute, addresses: Sequence[routing.Address]) -> None:
    for address in addresses:
        if not routing.stands(links, address):
            continue  # it was taken away meanwhile, and can be somebody else's
        (port,) = links.link("get", ifname=address.port)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.bind((address.port, 0))
            for frame in announcements(
                ip_address(address.ip_address), mac_bytes(port.get("address"))
            ):
                raw.send(frame)
