"""TCP connections out of a client's network namespace, from a source address and port of one's
choice."""

from __future__ import annotations

import errno
import ipaddress
import itertools
import socket

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.file_services.nfs.rpc import Connection
from abaca.errors import OutcomeUnknown

NFS_PORT = 2049
PRIVILEGED = range(1023, 664, -1)  # the ports that Linux's client takes
_start = itertools.count()


def connect(
    netns: str,
    address: str,
    *,
    port: int = NFS_PORT,
    source: str | None = None,
    source_port: int | None = None,
    patience: float = 10.0,
) -> socket.socket:
    """A connected socket from `netns`. Without a source port: a privileged one that is free, as
    Linux takes; 0: any unprivileged one.

    Raises the OSError of the connect: ConnectionRefusedError, TimeoutError, …
    """
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    nowhere = "::" if family == socket.AF_INET6 else "0.0.0.0"

    def dial(_: object) -> socket.socket:
        # a zone is the number of an interface there
        to = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][4]
        for chosen in _ports() if source_port is None else [source_port]:
            link = socket.socket(family, socket.SOCK_STREAM)
            try:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link.settimeout(patience)
                link.bind((source or nowhere, chosen))
                link.connect(to)
            except OSError as error:
                link.close()
                if source_port is None and error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                    continue
                raise
            return link
        raise OSError(errno.EADDRINUSE, f"no privileged port is left in {netns}")

    try:
        return namespaces.inside(netns, dial)
    except OutcomeUnknown as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise


def _ports() -> list[int]:
    # Each time from another one: the last may still wait for its end.
    first = next(_start) % len(PRIVILEGED)
    return [*PRIVILEGED[first:], *PRIVILEGED[:first]]


class RawConnection(Connection):
    """RPC, and raw bytes."""

    def send(self, data: bytes) -> None:
        self.link.settimeout(self.patience)
        self.link.sendall(data)

    def receive(self, most: int = 65536) -> bytes:
        """What the server sends next; nothing when it has closed the connection."""
        self.link.settimeout(self.patience)
        return self.link.recv(most)
