"""Which clients have files of a share open, as the library in an NFS server's cell noted it
(`cell/holders.c`), and the locks on them, as the kernel tells them.

The server may have been captured: what is read here decides only whom it sends away, and what
people are told of its clients. Those choose how many files and locks there are, so looking at them
has an end.
"""

from __future__ import annotations

import math
import os
import re
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
MOST_LOCKED_BYTES = 1 << 18  # about five thousand locks of the whole machine
Address = IPv4Address | IPv6Address
_LOCKED = re.compile(rb":([0-9]+) [0-9]+ (?:[0-9]+|EOF)$", re.MULTILINE)
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
    locked = _locked_inodes()
    inodes: dict[tuple[Address, str], set[int]] = {}
    locks: dict[tuple[Address, str], int | None] = {}
    try:
        for file in _open_files(pid, shares.keys(), deadline):
            if file.address is None:
                continue
            key = (file.address, shares[file.device])
            inodes.setdefault(key, set()).add(file.inode)
            is_locked = locked is None or file.inode in locked
            counted, before = _locks(pid, file.number) if is_locked else 0, locks.get(key, 0)
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
    for number, found, target in _descriptors(PROC / str(pid) / "fd", devices):
        if time.monotonic() > deadline:
            raise TimeoutError
        if found.st_dev in devices:
            opened.append((number, found.st_dev, found.st_ino))
        elif target.startswith(TABLE):
            with suppress(OSError):  # closed meanwhile
                table = start_of(PROC / str(pid) / "fd" / str(number))
    for number, device, inode in opened:
        if time.monotonic() > deadline:
            raise TimeoutError
        written = table[number * _EACH : (number + 1) * _EACH]
        is_noted = len(written) == _EACH and written != bytes(_EACH)
        yield _OpenFile(number, device, inode, _address(written) if is_noted else None)


def _locks(pid: int, number: int) -> int | None:
    """How many locks are held by what a process has open; None when they are too many to read."""
    try:
        text = _start(f"{PROC}/{pid}/fdinfo/{number}", MOST_LOCK_BYTES)
    except OSError:
        return 0  # closed meanwhile
    return None if len(text) == MOST_LOCK_BYTES else text.count(b"\nlock:")


def _locked_inodes() -> set[int] | None:
    """The numbers of inodes with locks, of whatever file systems; None when they are too many to
    read. To know them is cheaper than to ask of each open file."""
    text = _start(PROC / "locks", MOST_LOCKED_BYTES)
    return None if len(text) == MOST_LOCKED_BYTES else set(map(int, _LOCKED.findall(text)))


def _start(file: Path | str, most: int) -> bytes:
    """The first so many bytes of a file of the kernel's, which gives it in parts."""
    opened, parts = os.open(file, os.O_RDONLY | os.O_CLOEXEC), []
    try:
        while most and (part := os.read(opened, most)):
            parts.append(part)
            most -= len(part)
    finally:
        os.close(opened)
    return b"".join(parts)


def _descriptors(
    folder: Path, devices: Collection[int]
) -> Iterator[tuple[int, os.stat_result, str]]:
    """The descriptors of a process in their order: the number, what it is and, on no file system of
    `devices`, its name. None of a process that is gone."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return
    try:
        for number in sorted(map(int, os.listdir(opened))):
            with suppress(OSError):  # closed meanwhile
                found = os.stat(str(number), dir_fd=opened)
                is_wanted = found.st_dev in devices
                yield number, found, "" if is_wanted else os.readlink(str(number), dir_fd=opened)
    finally:
        os.close(opened)


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
