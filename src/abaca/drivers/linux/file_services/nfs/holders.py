"""Which clients have files of a share open, as the library in an NFS server's cell noted it
(`cell/holders.c`), and the locks on them, as the kernel tells them.

The server may have been captured: what is read here decides only whom it sends away, and what
people are told of its clients. Those choose how many files and locks there are, so looking at them
has an end.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import NamedTuple

from abaca.values import OpenFiles

PROC = Path("/proc")
TABLE = "/memfd:abaca-holders"
MOST_BYTES = 1 << 20
MOST_LOCK_BYTES = 1 << 16  # about a thousand locks
Address = IPv4Address | IPv6Address
_EACH = 16  # bytes of an address; one of IPv4 is written in IPv6


def holders(pid: int, device: int) -> set[Address]:
    """Addresses of the clients for which a process has files open on a file system (`st_dev`). None
    of them when it is gone."""
    return {file.address for file in _open_files(pid, {device}, math.inf) if file.address}


def held(
    pid: int, shares: Mapping[int, str], seconds: float
) -> dict[Address, dict[str, OpenFiles]] | None:
    """What clients have open, by address and id. `shares`: ids by file system (`st_dev`). None when
    it could not all be looked at in so many seconds.

    A file that a client has opened several times counts once. Locks are ranges of bytes.
    """
    deadline = time.monotonic() + seconds
    inodes: dict[tuple[Address, str], set[int]] = {}
    locks: dict[tuple[Address, str], int | None] = {}
    try:
        for file in _open_files(pid, shares.keys(), deadline):
            if file.address is None:
                continue
            key = (file.address, shares[file.device])
            inodes.setdefault(key, set()).add(file.inode)
            counted, before = _locks(pid, file.number), locks.get(key, 0)
            locks[key] = None if counted is None or before is None else before + counted
    except TimeoutError:
        return None
    found: dict[Address, dict[str, OpenFiles]] = {}
    for (address, share_id), of_share in inodes.items():
        found.setdefault(address, {})[share_id] = OpenFiles(
            files=len(of_share), locks=locks[address, share_id]
        )
    return found


class _OpenFile(NamedTuple):
    number: int
    device: int
    inode: int
    address: Address | None


def _open_files(pid: int, devices: Collection[int], deadline: float) -> Iterator[_OpenFile]:
    """What a process has open on these file systems. Raises TimeoutError at the deadline."""
    opened, table = [], b""
    for number in _descriptors(pid):
        if time.monotonic() > deadline:
            raise TimeoutError
        link = PROC / str(pid) / "fd" / str(number)
        with suppress(OSError):  # closed meanwhile
            found = os.stat(link)
            if found.st_dev in devices:
                opened.append((number, found))
            elif os.readlink(link).startswith(TABLE):
                table = start_of(link)
    for number, found in opened:
        if time.monotonic() > deadline:
            raise TimeoutError
        written = table[number * _EACH : (number + 1) * _EACH]
        is_noted = len(written) == _EACH and written != bytes(_EACH)
        yield _OpenFile(number, found.st_dev, found.st_ino, _address(written) if is_noted else None)


def _locks(pid: int, number: int) -> int | None:
    """How many locks are held by what a process has open; None when they are too many to read."""
    try:
        with open(PROC / str(pid) / "fdinfo" / str(number), "rb") as told:
            text = told.read(MOST_LOCK_BYTES)
    except OSError:
        return 0  # closed meanwhile
    return None if len(text) == MOST_LOCK_BYTES else text.count(b"\nlock:")


def _descriptors(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return sorted(map(int, os.listdir(PROC / str(pid) / "fd")))
    return []


def start_of(file: Path) -> bytes:
    """Nothing of what is not a regular file: a captured server may have anything by that name,
    which would keep its reader waiting."""
    table = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.pread(table, MOST_BYTES, 0) if stat.S_ISREG(os.fstat(table).st_mode) else b""
    finally:
        os.close(table)


def _address(written: bytes) -> Address:
    address = IPv6Address(written)
    if address.is_link_local:  # the library notes the network in it (`cell/connections.c`)
        address = IPv6Address(written[:4] + bytes(4) + written[8:])
    return address.ipv4_mapped or address
