"""The tests of the suite about NFS file handles. They are part of `DriverConformance`; each is
skipped for drivers that do not serve NFS.

Nothing is known here of what is in a handle: whatever a client can put together of its own handle,
of those of others and of small numbers is tried.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any

import pytest

from abaca.drivers.conformance.stage import Stage, client_on, need, rule, shown
from abaca.drivers.interface import ShareDriver
from abaca.drivers.linux.file_services.nfs import nfs4
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, Operation, getattr, putfh, walk
from abaca.drivers.linux.file_services.nfs.rpc import Connection, auth_sys
from abaca.drivers.linux.file_services.nfs.xdr import opaque, text, u32, words
from abaca.values import ExportLocation, NetworkInfo, Share, ShareServer, Snapshot

ANSWER_SECONDS, GRACE_SECONDS = 10.0, 60.0
CREATE, DIRECTORY = 6, 2
FOLDERS = ("folder", "folder/in it")
LATER = ("later", "folder/later")
NUMBERS = (0, 1, 2, 5, *range(255, 270), 2**32 - 1)
"""What may be written into a handle for another file system, subvolume or inode: those that are
given first, mostly."""


Seen = tuple[int, float]
"""What tells an object from every other one: its number and when it was last changed."""


@dataclass
class Held:
    """Handles of a share's or a snapshot's root, of a folder in it and of one in that, and what is
    seen of all its objects."""

    handles: list[bytes]
    seen: list[Seen]


class HandleConformance:
    """What a driver that serves NFS must do, whatever handles clients make up."""

    def nfs_client(
        self, driver: ShareDriver, location: ExportLocation, client: str, entry: NetworkInfo
    ) -> AbstractContextManager[socket.socket]:
        """While it is entered: a TCP connection to the NFS server of the location, from a port
        below 1024 of `client`, an address on the subnet of `entry`."""
        pytest.skip("the driver's author gives no way to speak NFS to a server")

    @pytest.mark.timeout(300)
    @pytest.mark.parametrize("through", ["share", "snapshot"])
    def test_forged_handles_open_nothing_foreign(self, stage: Stage, through: str) -> None:
        """Another share of the server and of another server, their snapshots, the share's own, what
        lies around them, a deleted share.

        `through`: what the attacker may use; the share through its snapshot is foreign, too.
        """
        need("NFS" in stage.driver.capabilities.storage_protocols, "NFS")
        need(
            through == "share" or stage.driver.capabilities.mount_snapshot_support,
            "mount_snapshot_support",
        )
        server, other = stage.server(), stage.server((1, stage.families[0]))
        shares = {"own": (server, stage.share(server)), "beside": (server, stage.share(server))}
        shares |= {"lost": (server, stage.share(server)), "foreign": (other, stage.share(other))}
        for on, share in shares.values():
            self._make_folders(stage, on, share, FOLDERS)
        exported: list[tuple[ShareServer, Share | Snapshot]] = list(shares.values())
        if stage.driver.capabilities.mount_snapshot_support:
            exported += [
                (on, stage.snapshot(share, on, is_mountable=True))
                for on, share in (shares["own"], shares["foreign"])
            ]
        for name in ("own", "foreign"):  # so that the snapshots differ
            self._make_folders(stage, *shares[name], LATER)
        held = [self._taken(stage, on, each) for on, each in exported]
        stage.driver.delete_share(shares["lost"][1], server)
        mine = 0 if through == "share" else len(shares)
        for number, (on, each) in enumerate(exported):
            if each is not shares["lost"][1]:
                _allow(stage, on, each, client_on(on.network_info[0], 1 if number == mine else 2))
        with self._client(stage, *exported[mine]) as link:
            _attack(link, held.pop(mine), held)

    def _make_folders(
        self, stage: Stage, server: ShareServer, share: Share, folders: Sequence[str]
    ) -> None:
        _allow(stage, server, share, client_on(server.network_info[0]))
        with self._client(stage, server, share) as link:
            for folder in folders:
                place, _, name = folder.rpartition("/")
                _ask(link, [*walk(f"{_path(share)}/{place}")[:-1], _make(name)])

    def _taken(self, stage: Stage, server: ShareServer, each: Share | Snapshot) -> Held:
        _allow(stage, server, each, client_on(server.network_info[0]))
        with self._client(stage, server, each) as link:
            handles = [_ask(link, walk(f"{_path(each)}/{folder}"))[-1] for folder in ("", *FOLDERS)]
            seen = [
                _seen(link, walk(f"{_path(each)}/{folder}")[:-1])
                for folder in ("", *FOLDERS, *LATER)
            ]
            return Held(handles, [found for found in seen if found])

    @contextmanager
    def _client(
        self, stage: Stage, server: ShareServer, each: Share | Snapshot
    ) -> Iterator[Connection]:
        entry = server.network_info[0]
        with self.nfs_client(
            stage.driver, shown(each.export_locations)[0], client_on(entry), entry
        ) as link:
            yield Connection(link, ANSWER_SECONDS)


def _attack(link: Connection, own: Held, others: list[Held]) -> None:
    allowed = {None, *own.seen}
    assert [_opened(link, handle) for handle in own.handles] == own.seen[: len(own.handles)]
    assert own.seen[0] not in [other.seen[0] for other in others], "they could not be told apart"
    for other in others:
        for handle, target in zip(own.handles, other.handles, strict=True):
            for forged in _mixed(handle, target):
                assert _opened(link, forged) in allowed, (
                    f"{forged.hex()}, made of {handle.hex()} and {target.hex()}"
                )
    for forged in _numbered(own.handles[0]):
        assert _opened(link, forged) in allowed, f"{forged.hex()}, made of {own.handles[0].hex()}"
    assert _opened(link, own.handles[0]) == own.seen[0], "the server goes on"


def _mixed(handle: bytes, target: bytes) -> Iterator[bytes]:
    """The target as it is, and every part of it in the place where it is, in a handle of one's
    own."""
    yield target
    for start, end in itertools.combinations(range(max(len(handle), len(target)) + 1), 2):
        yield handle[:start] + target[start:end] + handle[end:]


def _numbered(handle: bytes) -> Iterator[bytes]:
    """Each number, in each place, in four bytes and in eight, either end first."""
    for number, width, order in itertools.product(NUMBERS, (4, 8), ("little", "big")):
        for place in range(len(handle) - width + 1):
            yield (
                handle[:place]
                + number.to_bytes(width, "little" if order == "little" else "big")
                + handle[place + width :]
            )


def _opened(link: Connection, handle: bytes) -> Seen | None:
    """What a handle opens; None when it opens nothing."""
    return _seen(link, [putfh(handle)])


def _seen(link: Connection, way: list[Operation]) -> Seen | None:
    try:
        found = nfs4.compound(
            link, [*way, getattr("fileid", "time_metadata")], credentials=auth_sys(0, 0)
        )[-1]
    except Nfs4Error:
        return None
    return found["fileid"], found["time_metadata"]


def _ask(link: Connection, operations: list[Operation]) -> list[Any]:
    """Again and again while the server has just started and waits for those who were there
    before."""
    end = time.monotonic() + GRACE_SECONDS
    while True:
        try:
            return nfs4.compound(link, operations, credentials=auth_sys(0, 0))
        except Nfs4Error as error:
            if error.name not in ("GRACE", "DELAY") or time.monotonic() > end:
                raise
            Event().wait(0.2)


def _make(name: str) -> Operation:
    """A folder. Its result is not read, so it comes last."""
    return Operation(CREATE, u32(DIRECTORY) + text(name) + words([]) + opaque(b""))


def _allow(stage: Stage, server: ShareServer, each: Share | Snapshot, client: str) -> None:
    """This client, and nobody else."""
    if isinstance(each, Snapshot):
        assert (
            stage.driver.update_snapshot_access(each, [rule(client, access_level="ro")], server)
            == {}
        )
    else:
        assert stage.driver.update_access(each, [rule(client)], server) == {}


def _path(each: Share | Snapshot) -> str:
    return shown(each.export_locations)[0].path.split(":/", 1)[1]
