"""Who is connected to an NFS server.

Its connections are as the kernel tells them, the version of NFS as Ganesha tells it on its bus;
files that are open, with their locks, as the kernel and the library in the cell tell them
(`holders.py`). Ganesha 4.3 counts nothing per client and share, and nothing that is open. It may
have been captured: what it says only adds to clients that the kernel knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from abaca.drivers.interface import MOST_CLIENTS
from abaca.drivers.linux.connections import Address, Connection
from abaca.drivers.linux.file_services.nfs.exports import ExportBus
from abaca.errors import BackendError
from abaca.values import Client, Clients, OpenFiles

PROTOCOL = "NFS"
BUS_SECONDS = 1.0
_VERSIONS = {"NFSv40": "4.0", "NFSv41": "4.1"}

Versions = Mapping[Address, str]
Held = Mapping[Address, Mapping[str, OpenFiles]]


def clients(
    connections: Iterable[Connection],
    versions: Versions,
    held: Held | None,
    *,
    are_back: bool = True,
) -> Clients:
    """One client for each pair of addresses, the most recently active first. `held`: by address and
    export; None: not known. `are_back` False: others may be on their way."""
    pairs: dict[tuple[Address, Address], list[int | None]] = {}
    for connection in connections:
        pairs.setdefault((connection.address, connection.server_address), []).append(
            connection.idle_seconds
        )
    servers = Counter(address for address, _ in pairs)
    listed = [
        Client(
            address=str(address),
            server_address=str(server),
            protocol=PROTOCOL,
            protocol_version=versions.get(address),
            connections=len(idle),
            idle_seconds=min((each for each in idle if each is not None), default=None),
            # by which of the server's addresses a file was opened nobody knows
            open_files=dict(held.get(address, {}))
            if held is not None and servers[address] == 1
            else None,
        )
        for (address, server), idle in pairs.items()
    ]
    listed.sort(key=lambda client: (client.idle_seconds or 0, client.address))
    return Clients(
        listed=listed[:MOST_CLIENTS], is_complete=are_back and len(listed) <= MOST_CLIENTS
    )


def versions(bus_socket: Path) -> Versions:
    """The version of NFS that a client speaks, by its address; not of one that has spoken several
    since the server started. None at all when Ganesha does not say in time."""
    found: dict[Address, str] = {}
    try:
        told = ExportBus(bus_socket, BUS_SECONDS).versions()
    except BackendError:
        return found
    for written, names in told.items():
        spoken = [_VERSIONS[name] for name in names if name in _VERSIONS]
        with suppress(ValueError):  # a captured one says what it likes
            address = ip_address(written)
            if len(spoken) == 1:
                found[getattr(address, "ipv4_mapped", None) or address] = spoken[0]
    return found
