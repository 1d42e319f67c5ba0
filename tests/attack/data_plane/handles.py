"""Handles that the attacker writes himself: of other shares, of no share, and of nonsense."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator

from abaca.drivers.linux.file_services.nfs.exports import export_ids
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, getattr, putfh
from tests.attack.data_plane.floods import folder, lived
from tests.attack.data_stage import DataStage
from tests.attack.registry import Force, Seen, attack
from tests.contracts.drivers.linux_site import path
from tests.nfs4.client import Client40

EXPORT_ID, FSID, KERNEL = slice(2, 4), slice(6, 14), slice(15, 35)
INODES, TOP, SUBVOLUMES = range(256, 259), 5, range(256, 400)
DUMMY = 0x64  # the kind of a handle for file systems that have none of their own
LONGEST = 128


def opened(client: Client40, handles: Iterable[bytes]) -> tuple[int, int]:
    """(how many were tried, how many of them opened something)."""
    tried = found = 0
    for handle in handles:
        tried += 1
        try:
            client.run(putfh(handle), getattr("type", "size"))
            found += 1
        except Nfs4Error:
            continue
    return tried, found


@attack("forged handles")
def forged_handles(stage: DataStage, force: Force) -> Seen:
    """Of other subvolumes of the pool through the attacker's export, and of the export that he may
    not use."""
    pid = stage.ganesha()
    with Client40(stage.attacker, stage.address()) as client:
        own = client.handle_of(folder(path(stage.open_share)))
        tried, found = opened(client, itertools.islice(_forged(stage, own), force.count))
    lived_on = lived(stage, pid, f"{tried} forged, {found} opened something")
    return Seen(lived_on.holds and found == 0, lived_on.what)


def _forged(stage: DataStage, own: bytes) -> Iterator[bytes]:
    closed = export_ids(stage.site.layout(stage.attacked))[stage.closed_share.id]
    for inode, subvolume, generation in itertools.product(INODES, (0, TOP, *SUBVOLUMES), (0, 1)):
        handle = bytearray(own)
        handle[KERNEL] = struct.pack("<QQI", inode, subvolume, generation)
        if subvolume:
            yield bytes(handle)
        handle[EXPORT_ID] = struct.pack(">H", closed)
        yield bytes(handle)


@attack("dummy handles")
def dummy_handles(stage: DataStage, force: Force) -> Seen:
    """One of these stops an NFS-Ganesha 4.3 that nothing protects."""
    pid = stage.ganesha()
    with Client40(stage.attacker, stage.address()) as client:
        own = client.handle_of(folder(path(stage.open_share)))
        dummy = own[:4] + bytes([9, DUMMY]) + own[FSID]
        tried, found = opened(client, [dummy, dummy + bytes(20), dummy[:-1]] * 20)
    lived_on = lived(stage, pid, f"{tried} sent, {found} opened something")
    return Seen(lived_on.holds and found == 0, lived_on.what)


@attack("mangled handles")
def mangled_handles(stage: DataStage, force: Force) -> Seen:
    """Every first byte with lengths of all sizes, of a share's handle and of the pseudo file
    system's."""
    pid = stage.ganesha()
    with Client40(stage.attacker, stage.address()) as client:
        whole = client.handle_of(folder(path(stage.open_share)))
        pseudo = client.handle_of("/")
        each = (
            (bytes([first]) + handle[1:] + bytes(LONGEST))[:length]
            for handle, length, first in itertools.product(
                (whole, pseudo), range(1, LONGEST + 1, 5), range(256)
            )
            if first != handle[0]
        )
        tried, found = opened(client, itertools.islice(each, force.count))
    lived_on = lived(stage, pid, f"{tried} sent, {found} opened something")
    return Seen(lived_on.holds and found == 0, lived_on.what)
