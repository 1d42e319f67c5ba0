"""Many connections at once, out of one network namespace."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import select
import socket
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import NamedTuple

from abaca.drivers.linux import namespaces
from tests.nfs4.connection import NFS_PORT

AT_ONCE = 200
CONNECT_SECONDS = 5.0


class Crowd(NamedTuple):
    links: list[socket.socket]  # connected, not blocking
    refused: int  # by a reset or by silence

    def send(self, data: bytes) -> int:
        """As much of it on each as it takes without waiting; the bytes in all."""
        sent = 0
        for link in self.links:
            with contextlib.suppress(OSError):
                sent += link.send(data)
        return sent

    def still_open(self) -> int:
        """How many the server has not closed by now."""
        return sum(1 for link in self.links if not _is_closed(link))


@contextlib.contextmanager
def crowd(
    netns: str, address: str, count: int, sources: Sequence[str] = ("",), seconds: float = 60.0
) -> Iterator[Crowd]:
    """Up to `count` connections to the file server at `address`, as far as they come about within
    the time; by turns from each of the sources."""
    links, refused = namespaces.inside(
        netns, lambda _: _connect(address, count, sources, time.monotonic() + seconds)
    )
    try:
        yield Crowd(links, refused)
    finally:
        for link in links:
            link.close()


def _connect(
    address: str, count: int, sources: Sequence[str], end: float
) -> tuple[list[socket.socket], int]:
    links: list[socket.socket] = []
    refused = 0
    while len(links) + refused < count and time.monotonic() < end:
        begun = [
            _begin(address, source)
            for source, _ in zip(
                cycle(sources), range(min(AT_ONCE, count - len(links) - refused)), strict=False
            )
        ]
        connected = _connected(begun)
        links += connected
        refused += len(begun) - len(connected)
    return links, refused


def _begin(address: str, source: str) -> socket.socket:
    link = socket.socket(
        socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    )
    link.setblocking(False)
    if source:
        link.bind((source, 0))
    if (code := link.connect_ex((address, NFS_PORT))) not in (0, errno.EINPROGRESS):
        raise OSError(code, "connect")
    return link


def _connected(begun: list[socket.socket]) -> list[socket.socket]:
    """Those that came about; the others are closed."""
    waiting, found = {link.fileno(): link for link in begun}, []
    poll = select.poll()
    for number in waiting:
        poll.register(number, select.POLLOUT)
    end = time.monotonic() + CONNECT_SECONDS
    while waiting and time.monotonic() < end:
        for number, _ in poll.poll(100):
            poll.unregister(number)
            link = waiting.pop(number)
            if link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.append(link)
            else:
                link.close()
    for link in waiting.values():
        link.close()
    return found


def _is_closed(link: socket.socket) -> bool:
    try:
        return link.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
