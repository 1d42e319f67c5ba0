"""Which clients have files of a share open, as the library in an NFS server's cell noted it
(`cell/holders.c`).

The server may have been captured: what is read here decides only whom it sends away.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

PROC = Path("/proc")
TABLE = "/memfd:abaca-holders"
MOST_BYTES = 1 << 20
_EACH = 16  # bytes of an address; one of IPv4 is written in IPv6


def holders(pid: int, device: int) -> set[IPv4Address | IPv6Address]:
    """Addresses of the clients for which a process has files open on a file system (`st_dev`). None
    of them when it is gone."""
    numbers, table = [], b""
    for number in _descriptors(pid):
        link = PROC / str(pid) / "fd" / str(number)
        with suppress(OSError):  # closed meanwhile
            if os.stat(link).st_dev == device:
                numbers.append(number)
            elif os.readlink(link).startswith(TABLE):
                table = start_of(link)
    found = {table[number * _EACH : (number + 1) * _EACH] for number in numbers} - {
        b"",
        bytes(_EACH),
    }
    return {_address(written) for written in found if len(written) == _EACH}


def _descriptors(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return sorted(map(int, os.listdir(PROC / str(pid) / "fd")))
    return []


def start_of(file: Path) -> bytes:
    """Nothing of what is no regular file: a captured server may have anything by that name, which
    keeps its reader waiting."""
    table = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.pread(table, MOST_BYTES, 0) if stat.S_ISREG(os.fstat(table).st_mode) else b""
    finally:
        os.close(table)


def _address(written: bytes) -> IPv4Address | IPv6Address:
    address = IPv6Address(written)
    if address.is_link_local:  # the library notes the network in it (`cell/connections.c`)
        address = IPv6Address(written[:4] + bytes(4) + written[8:])
    return address.ipv4_mapped or address
