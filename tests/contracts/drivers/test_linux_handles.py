"""File handles that clients forge, on the Linux back end: whatever is sent, an NFS server lives and
opens nothing but its export's own.

Handles of NFS-Ganesha 4.3 with btrfs are known byte by byte here. The suite for all drivers
(`abaca.drivers.conformance`) knows nothing of what is in them.
"""

from __future__ import annotations

import itertools
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from abaca.drivers.linux import processes
from abaca.drivers.linux.file_services.nfs.ganesha import GANESHA
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, getattr, lookup, putfh, read
from abaca.values import ExportLocation, Share, ShareServer
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, rule
from tests.nfs4.client import Client, Client40

pytestmark = [pytest.mark.sampled_file(8), pytest.mark.root]

TOP = 5  # the subvolume that holds all others, with the pool's own folders
ROOT, FIRST_FILE = 256, 257  # inodes of a subvolume's folder and of what was first made in it
EXPORT_ID, FSID, KERNEL = slice(2, 4), slice(6, 14), slice(15, 35)
INODE_SUBVOLUME_GENERATION = struct.Struct("<QQI")
DUMMY = 0x64  # the kind of a handle for file systems that have none of their own
LONGEST = 128  # that the protocol knows
SECRET = "secret"


@dataclass
class Exported:
    """A share or snapshot whose file SECRET holds its `name`: handles of its root and of that file,
    and its subvolume's number."""

    name: str
    root: bytes
    file: bytes
    number: int


@dataclass
class Scene:
    """`own` and `snapshot` are the attacker's to use, `others` are not."""

    server: ShareServer
    attacker: Client
    own: Exported
    snapshot: Exported
    others: list[Exported]

    def opened(self, handle: bytes) -> str | None:
        """The name of the share or snapshot that the attacker gets into with a handle; None when it
        is refused."""
        try:
            found = self.attacker.run(putfh(handle), getattr("type", "fsid", "fileid"))[-1]
        except Nfs4Error:
            return None
        for way in ([], [lookup(SECRET)]):
            try:
                data, _ = self.attacker.run(putfh(handle), *way, read(0, 64))[-1]
            except Nfs4Error:
                continue
            return bytes(data).decode()
        return f"an unknown object, {found}"

    def forged(self, export: Exported) -> Iterator[tuple[str, bytes]]:
        """(what it aims at, handle) for the client of an export."""
        for target in (self.own, self.snapshot, *self.others):
            for taken in (target.root, target.file):
                yield target.name, taken
                yield target.name, export.root[: KERNEL.start] + taken[KERNEL]
                *_, generation = INODE_SUBVOLUME_GENERATION.unpack(taken[KERNEL])
                for inode, version in itertools.product((ROOT, FIRST_FILE), (0, generation)):
                    made = bytearray(export.root)
                    made[KERNEL] = INODE_SUBVOLUME_GENERATION.pack(inode, target.number, version)
                    yield target.name, bytes(made)
                    made[FSID] = target.root[FSID]
                    yield target.name, bytes(made)
                    made[EXPORT_ID] = target.root[EXPORT_ID]
                    yield target.name, bytes(made)
        for number, inode in itertools.product((TOP, *range(1, 320)), (ROOT, FIRST_FILE, 258, 259)):
            made = bytearray(export.root)
            made[KERNEL] = INODE_SUBVOLUME_GENERATION.pack(inode, number, 0)
            yield f"subvolume {number}", bytes(made)


@pytest.fixture
def scene(site: Site) -> Iterator[Scene]:
    server, other = site.server(*BOTH), site.server(("other", "10.9.0.5/24"))
    client = site.client("client", "net", *CLIENT)
    others = site.client("others", "other", "10.9.0.20/24")
    own, beside, lost, foreign = (
        site.share(server),
        site.share(server),
        site.share(server),
        site.share(other),
    )
    for share, name in (
        (own, "snapshot"),
        (beside, "beside"),
        (lost, "lost"),
        (foreign, "foreign snapshot"),
    ):
        write_secret(site, share, name)
    snapshot, foreign_snapshot = (
        site.snapshot(own, server, is_mountable=True),
        site.snapshot(foreign, other, is_mountable=True),
    )
    write_secret(site, own, "own")
    write_secret(site, foreign, "foreign")
    with Client40(client, "10.0.0.5") as attacker, Client40(others, "10.9.0.5") as honest:
        exported = {
            name: exported_as(site, taker, name, each.id, each.export_locations[0])
            for taker, name, each in (
                (attacker, "own", own),
                (attacker, "snapshot", snapshot),
                (attacker, "beside", beside),
                (attacker, "lost", lost),
                (honest, "foreign", foreign),
                (honest, "foreign snapshot", foreign_snapshot),
            )
        }
        site.driver.delete_share(lost, server)
        assert site.driver.update_access(beside, [rule("10.0.0.99")], server) == {}
        mine = exported.pop("own"), exported.pop("snapshot")
        yield Scene(server, attacker, *mine, list(exported.values()))


def write_secret(site: Site, share: Share, name: str) -> None:
    (site.driver.pool.path(share.id) / SECRET).write_text(name)


def exported_as(
    site: Site, taker: Client, name: str, share_id: str, location: ExportLocation
) -> Exported:
    folder = location.path.split(":/", 1)[1]
    asked = subprocess.run(
        ["btrfs", "inspect-internal", "rootid", str(site.driver.pool.path(share_id))],
        capture_output=True,
        text=True,
        check=True,
    )
    return Exported(
        name, taker.handle_of(folder), taker.handle_of(f"{folder}/{SECRET}"), int(asked.stdout)
    )


def ganeshas(site: Site, scene: Scene) -> list[int]:
    return processes.find(GANESHA, str(site.layout(scene.server).ganesha_pid))


def test_a_handle_opens_nothing_but_objects_of_its_export(scene: Scene) -> None:
    """Another share of the server, another tenant's share, snapshots, the pool's top, a deleted
    share: nothing of them, by no forged handle.

    Nor a share's snapshot through the share, nor the share through its snapshot.
    """
    assert [scene.opened(handle) for handle in (scene.own.root, scene.own.file)] == ["own"] * 2
    assert [scene.opened(handle) for handle in (scene.snapshot.root, scene.snapshot.file)] == [
        "snapshot"
    ] * 2
    wrong = set()
    for export in (scene.own, scene.snapshot):
        for aim, handle in scene.forged(export):
            if (found := scene.opened(handle)) not in (None, name_of_export(scene, handle)):
                wrong.add((export.name, aim, found))
    assert not wrong, "exports, what was aimed at through them, and what was opened"


def name_of_export(scene: Scene, handle: bytes) -> str | None:
    """Which of the attacker's own exports a handle says that it is for."""
    return next(
        (
            own.name
            for own in (scene.own, scene.snapshot)
            if own.root[EXPORT_ID] == handle[EXPORT_ID]
        ),
        None,
    )


def test_a_handle_of_a_kind_that_no_share_has_stops_no_server(site: Site, scene: Scene) -> None:
    """NFS-Ganesha 4.3 by itself aborts at the first one: a buffer overflows."""
    before = ganeshas(site, scene)
    for export in (scene.own, scene.snapshot, *scene.others):
        dummy = export.root[:4] + bytes([9, DUMMY]) + export.root[FSID]
        assert scene.opened(dummy) is None
    assert (ganeshas(site, scene), scene.opened(scene.own.file)) == (before, "own")


@pytest.mark.slow("tens of thousands of handles")
@pytest.mark.timeout(300)
def test_mangled_handles_open_nothing_foreign_and_stop_no_server(site: Site, scene: Scene) -> None:
    """Every first byte with every length, and every byte in every place: of handles of a share, a
    snapshot and the pseudo file system."""
    before = ganeshas(site, scene)
    pseudo = [scene.attacker.handle_of(folder) for folder in ("", "shares", "snapshots")]
    seen = {scene.opened(handle) for handle in pseudo}
    assert len(seen) == len(pseudo), "the pseudo file system's folders are told apart"
    allowed = {None, "own", "snapshot", *seen}
    for handle in (scene.own.root, scene.own.file, scene.snapshot.root, *pseudo):
        for mangled in every_mangled(handle):
            assert scene.opened(mangled) in allowed, mangled.hex(" ")
    assert (ganeshas(site, scene), scene.opened(scene.own.file)) == (before, "own")


def every_mangled(handle: bytes) -> Iterator[bytes]:
    lengths = [*range(72), LONGEST - 1, LONGEST]
    for first, length in itertools.product(range(256), lengths):
        yield (bytes([first]) + handle[1:] + bytes(LONGEST))[:length]
    for place, value in itertools.product(range(len(handle)), range(256)):
        yield handle[:place] + bytes([value]) + handle[place + 1 :]
