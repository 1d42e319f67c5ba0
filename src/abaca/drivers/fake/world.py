"""What a fake back end holds: servers, shares and snapshots, in memory, and in a JSON file when it
has one. How they behave is in `servers.py` and `shares.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from threading import RLock

import msgspec

from abaca.drivers.fake.files import locked, replace
from abaca.drivers.fake.options import SERVERLESS
from abaca.drivers.interface import path_name
from abaca.values import (
    AccessRule,
    Client,
    ExportChoice,
    ExportLocation,
    NetworkInfo,
    SecurityService,
    Share,
    Snapshot,
)


class Server(msgspec.Struct):
    """A share server: its networks in the order in which it got them.

    `is_served` False: as if its file server hung; or, when it `is_dead`, had died. `stands_on`: the
    host that has set it up, and has it for itself until it leaves, or is shut out.
    """

    id: str
    network_info: list[NetworkInfo]
    security_services: list[SecurityService] = []
    is_served: bool = True
    is_dead: bool = False
    clients: list[Client] = []
    stands_on: str = ""

    def details(self) -> dict[str, str]:
        """Back end details, as drivers return them."""
        return {"server_name": f"fake-{self.id}", "addresses": ",".join(self.addresses())}

    def addresses(self, choice: ExportChoice | None = None) -> list[str]:
        """Its own, or those on the subnets that the choice admits."""
        return [
            allocation.ip_address
            for entry in (choice or ExportChoice()).of(self.network_info)
            for allocation in entry.network_allocations
        ]


class StoredShare(msgspec.Struct):
    """A share on a share server, or on none (`server_id` None). `size` in GiB; `used_bytes` is what
    clients would have written; `access_rules` say what is granted: of a share that is exported on
    chosen subnets, a rule a part."""

    id: str
    share_id: str
    server_id: str | None
    pool: str
    size: int
    share_proto: str
    used_bytes: int = 0
    access_rules: list[AccessRule] = []
    export_choice: ExportChoice = ExportChoice()
    mount_point_name: str | None = None


class StoredSnapshot(msgspec.Struct):
    """A snapshot of the share `share_instance_id`: `size` and `used_bytes` are what that had."""

    id: str
    snapshot_id: str
    share_instance_id: str
    server_id: str | None
    size: int
    used_bytes: int
    is_mountable: bool = False
    access_rules: list[AccessRule] = []
    export_choice: ExportChoice = ExportChoice()


class StoredBackup(msgspec.Struct):
    """A copy of the share `share_id`. `used_bytes`: what that held at the instant of `begin`, of
    which `copied_bytes` are there."""

    id: str
    share_id: str
    used_bytes: int
    copied_bytes: int = 0


def fetched_as(share_id: str, backup_id: str) -> str:
    """The key of what is being restored into a share."""
    return f"{share_id}/{backup_id}"


class World(msgspec.Struct):
    """Everything a fake back end holds, by id. `fixed`: bytes that backups are being made of, by
    backup. `fetched`: bytes that are there of what is being restored, by share instance and backup
    (`fetched_as`). `own_addresses`: of a back end without share servers. `neighbours`: addresses,
    or prefixes of addresses, that other machines on its networks use. `dead_hosts`: that answer no
    other (`stands_on`). `looks`: how often each host has looked at others."""

    servers: dict[str, Server] = {}
    shares: dict[str, StoredShare] = {}
    snapshots: dict[str, StoredSnapshot] = {}
    backups: dict[str, StoredBackup] = {}
    fixed: dict[str, int] = {}
    fetched: dict[str, int] = {}
    neighbours: list[str] = []
    dead_hosts: list[str] = []
    looks: dict[str, int] = {}
    own_addresses: list[str] = msgspec.field(default_factory=lambda: [SERVERLESS])

    def is_neighbour(self, address: str) -> bool:
        """Whether another machine uses the address."""
        return any(ip_address(address) in ip_network(each) for each in self.neighbours)

    def export_locations(
        self,
        stored: StoredShare | StoredSnapshot,
        network_info: Sequence[NetworkInfo] = (),
        known: Sequence[ExportLocation] = (),
    ) -> list[ExportLocation]:
        """One path for each address that it is reached on, in their order; the first of each family
        is preferred. With `network_info` on those networks only, as a change that failed may have
        left others, and on those that drain only paths that are `known` already."""
        given = {
            allocation.ip_address
            for entry in network_info
            for allocation in entry.network_allocations
        }
        shut = {
            allocation.ip_address
            for entry in network_info
            if entry.is_draining
            for allocation in entry.network_allocations
        }
        known_paths = {location.path for location in known}
        folder, name = "snapshots", stored.id
        if isinstance(stored, StoredShare):
            folder, name = "shares", path_name(stored.mount_point_name, stored.id)
        locations = []
        versions: set[int] = set()
        for address in self._addresses(stored):
            version = ip_address(address).version
            shown = f"[{address}]" if version == 6 else address
            path = f"{shown}:/{folder}/{name}"
            if address in shut and path not in known_paths:
                continue
            if given and address not in given:
                continue
            locations.append(
                ExportLocation(path=path, ip_version=version, preferred=version not in versions)
            )
            versions.add(version)
        return locations

    def _addresses(self, stored: StoredShare | StoredSnapshot) -> list[str]:
        """Those of its server where it is exported, none of a server that is not there; the back
        end's own for what is on no server."""
        if stored.server_id is None:
            return self.own_addresses
        server = self.servers.get(stored.server_id)
        return server.addresses(stored.export_choice) if server else []

    def exported(self, path: str, server_id: str | None) -> StoredShare | None:
        """The share of that server that is reached under the path."""
        of_server = (share for share in self.shares.values() if share.server_id == server_id)
        return next(
            (
                share
                for share in of_server
                if path in [location.path for location in self.export_locations(share)]
            ),
            None,
        )

    def rename_server(self, old: str, new: str) -> None:
        server = self.servers.pop(old)
        server.id = new
        self.servers[new] = server
        standing: list[StoredShare | StoredSnapshot] = [
            *self.shares.values(),
            *self.snapshots.values(),
        ]
        for stored in standing:
            if stored.server_id == old:
                stored.server_id = new

    def promised_gb(self, pool: str) -> int:
        return sum(share.size for share in self.shares.values() if share.pool == pool)


def stored_share(share: Share, server_id: str | None) -> StoredShare:
    """A share as it is described, before anything is written to it."""
    return StoredShare(
        share.id,
        share.share_id,
        server_id,
        share.pool,
        share.size,
        share.share_proto,
        export_choice=share.export_choice,
        mount_point_name=share.mount_point_name,
    )


def stored_snapshot(world: World, snapshot: Snapshot, server_id: str | None) -> StoredSnapshot:
    """Of the share as it is; of one that is not there (its state is lost), as it is described."""
    share = world.shares.get(snapshot.share.id)
    return StoredSnapshot(
        id=snapshot.id,
        snapshot_id=snapshot.snapshot_id,
        share_instance_id=snapshot.share.id,
        server_id=server_id,
        size=snapshot.size,
        used_bytes=share.used_bytes if share else 0,
        is_mountable=snapshot.is_mountable,
    )


class Store:
    """Keeps the world. `state_file`, when given, is written after every change and read again
    whenever another process has written it."""

    def __init__(self, state_file: Path | None) -> None:
        self._file = state_file
        self._lock = RLock()
        self._seen: tuple[int, ...] | None = None
        self._content = b""
        self._world = World()

    @contextmanager
    def read(self) -> Iterator[World]:
        """The world, to look at."""
        with self._lock:
            self._load()
            yield self._world

    @contextmanager
    def change(self) -> Iterator[World]:
        """The world, to change. When the block fails nothing is stored, so blocks judge first and
        change last."""
        with self._lock:
            if self._file is None:
                yield self._world
                return
            with locked(self._file):
                self._load()
                yield self._world
                self._save(self._file)

    def _save(self, file: Path) -> None:
        content = msgspec.json.encode(self._world)
        if content != self._content:  # a repeated call usually changes nothing
            replace(file, content)
            self._content, self._seen = content, self._stamp()

    def _load(self) -> None:
        stamp = self._stamp()
        if self._file is not None and stamp is not None and stamp != self._seen:
            self._content = self._file.read_bytes()
            self._world = msgspec.json.decode(self._content, type=World)
            self._seen = stamp

    def _stamp(self) -> tuple[int, ...] | None:
        """Changes whenever the file is replaced: each version is a file of its own."""
        try:
            status = self._file.stat() if self._file is not None else None
        except FileNotFoundError:
            return None
        return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None
