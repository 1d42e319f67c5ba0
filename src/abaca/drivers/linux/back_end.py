"""What all calls of a Linux back end share: options, locks, its one file server where there are no
share servers, and what is done when it starts."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from abaca.drivers.capabilities import Capabilities
from abaca.drivers.interface import ShareDriver, required
from abaca.drivers.linux import bounds, duplicates, mounts, namespaces, own_server, routing
from abaca.drivers.linux.backups import target
from abaca.drivers.linux.backups.target import Target
from abaca.drivers.linux.bounds import Bounds
from abaca.drivers.linux.client_pause import Turns
from abaca.drivers.linux.file_services.interface import (
    PROOF_OTHER,
    PROOF_OWN,
    FileService,
    FileServices,
)
from abaca.drivers.linux.file_services.nfs import service
from abaca.drivers.linux.file_services.nfs.service import NfsServices
from abaca.drivers.linux.layout import Layout, safe_id
from abaca.drivers.linux.option_values import flag, number
from abaca.drivers.linux.pools import file_systems
from abaca.drivers.linux.pools.interface import FileSystems, NotThere, Pool
from abaca.drivers.linux.programs import os_errors_sorted
from abaca.drivers.linux.requirements import missing
from abaca.drivers.linux.server import LinuxServer
from abaca.drivers.linux.unservable import SMALLEST_IPV6_MTU, refuse_unservable
from abaca.drivers.linux.well_formed import refuse_malformed
from abaca.drivers.linux.wires import wiring as wiring_module
from abaca.drivers.linux.wires.interface import Wires
from abaca.drivers.linux.wires.plugging import BridgePlug
from abaca.drivers.linux.wires.wiring import Wiring
from abaca.errors import Refused, Unavailable
from abaca.plugin_options import Option
from abaca.values import NetworkInfo, ShareServer, TunnelEnd

OPTIONS = {
    "state_dir": Option(
        "Folder for everything that the worker keeps; each back end has a folder of its own in "
        "it. By default worker in the "
        "state directory of the service.",
        "/var/lib/abaca/worker",
    ),
    **file_systems.OPTIONS,
    "pool_name": Option("Name of the pool in host@backend#pool.", "pool"),
    "namespace": Option(
        "Name of this installation: its network namespaces, its folder in /run and its folder in "
        "the pool are called after it. "
        "With a state directory other than /var/lib/abaca it has a suffix by default, so that two "
        "on one machine do not meet.",
        "abaca",
    ),
    "max_over_subscription_ratio": Option(
        "How many times the size of the pool may be promised to shares, 1 or more.", "1"
    ),
    "mtu": Option(
        "Largest MTU of links, in bytes, 1280 or more, whatever their subnets say. By default "
        "there is no such limit."
    ),
    "duplicate_address_detection": Option(
        "true: a new address on a flat or VLAN network is looked for there, by ARP and neighbour "
        "discovery, before a share server gets it, which takes about a second; one that another "
        "machine uses is left alone. false: nobody looks.",
        "true",
    ),
    **service.OPTIONS,
    **bounds.OPTIONS,
    **own_server.OPTIONS,
    **wiring_module.OPTIONS,
    **target.OPTIONS,
}
DEFAULTS = {name: option.default for name, option in OPTIONS.items()}
LACKING_WITHOUT_MOUNTS = dict.fromkeys(
    (
        "revert_to_snapshot_support",
        "mount_snapshot_support",
        "consistent_snapshot_support",
        "revert_keeps_mounts",
    ),
    False,
)
"""What is done with what is mounted on this host, and so not with shares in CephFS."""
OWN_SERVER_SECONDS = 60.0
"""How long a call waits for others about the one file server of a back end."""


class LinuxBackEnd(ShareDriver):
    """OPTIONS says what can be set; all of it is optional.

    With neither physical networks nor tunnels it makes the networks itself, and nobody else is on
    them.

    Raises Unavailable for an option that is unknown or makes no sense.
    """

    OPTIONS = OPTIONS

    capabilities = Capabilities(
        storage_protocols=("NFS",),
        share_server_multiple_subnet_support=True,
        network_allocation_update_support=True,
        share_server_subnet_removal_support=True,
        security_service_update_support=True,
        snapshot_support=True,
        create_share_from_snapshot_support=True,
        revert_to_snapshot_support=True,
        mount_snapshot_support=True,
        consistent_snapshot_support=True,
        mount_point_name_support=True,
        export_subnets_support=True,
        revert_keeps_mounts=True,
        ipv4_support=True,
        ipv6_support=True,
    )

    def __init__(self, backend_name: str, options: Mapping[str, str]) -> None:
        unknown = sorted(options.keys() - DEFAULTS.keys())
        if unknown:
            raise Unavailable(f"back end {backend_name}: no such options: {', '.join(unknown)}")
        chosen = {**DEFAULTS, **options}
        self.layout = Layout(chosen["namespace"], Path(chosen["state_dir"]).resolve(), backend_name)
        self._pool_name = safe_id(chosen["pool_name"])
        self._ratio = number(chosen, "max_over_subscription_ratio", 1)
        self._highest_mtu = int(number(chosen, "mtu", SMALLEST_IPV6_MTU)) if chosen["mtu"] else None
        self._detects_duplicates = flag(chosen, "duplicate_address_detection")
        self._bounds = Bounds.of(chosen)
        self.guard = lambda: None
        self.file_systems: FileSystems = file_systems.chosen(
            chosen, self.layout, self._ratio, self._end_file_service, lambda: self.guard()
        )
        self.pool = self.file_systems.pool
        self._services: FileServices = NfsServices(
            chosen, self._bounds.connections, self.file_systems.storage
        )
        wiring = Wiring(chosen)
        self._wires: Wires = BridgePlug(chosen["namespace"], wiring)
        self.own = own_server.described(chosen, backend_name, wiring.physical_networks)
        if self.own is not None:
            self.capabilities = own_server.capabilities(self.capabilities, self.own)
        if self.file_systems.storage is not None:
            self.capabilities = replace(self.capabilities, **LACKING_WITHOUT_MOUNTS)
        self.patience_for_own_server = OWN_SERVER_SECONDS
        self.backup_target = Target.of(chosen, self.layout)
        self.capabilities = replace(
            self.capabilities, backup_support=self.backup_target is not None
        )
        self._turns: dict[str, Turns] = {}
        self._patience = number(chosen, "answer_seconds", 0.1)
        self._proof_server = f"proof-{zlib.crc32(backend_name.encode()):08x}"
        if self.file_systems.storage is not None:  # other hosts prove the same in the same cluster
            self._proof_server += f"-{self.layout.host_mark}"
        self._is_proved = False
        self._tunnel_end: TunnelEnd | None = None
        self._locks: dict[str, threading.RLock] = {}
        self._locks_guard = threading.Lock()

    @property
    def makes_networks(self) -> bool:
        return self._wires.is_own_only

    @property
    def is_shared(self) -> bool:
        return self.file_systems.storage is not None and self.own is None

    @property
    def own_server_id(self) -> str | None:
        return self.own.id if self.own else None

    def check_for_setup_error(self) -> None:
        lacking = missing()
        if lacking:
            raise Unavailable(f"the linux back end lacks: {'; '.join(lacking)}")
        with os_errors_sorted("preparing the back end"):
            self.layout.prepare()
            self.file_systems.prepare()
            self._wires.prepare()
        self._prove_walls()
        self._stand()

    def _stand(self) -> None:
        """Without share servers: have the one file server's namespace, with its addresses. Raises
        Unavailable, naming it, for what another machine has."""
        self._require_same_kind()
        if (own := self.own) is None:
            return
        try:
            self._refuse(own.network_info)
        except Refused as refusal:
            raise Unavailable(f"the options export_…: {refusal.message}") from refusal
        with self._locked(own.id) as server:
            layout = self.layout.server(own.id)
            there = (
                routing.addresses_of(layout.namespace)
                if namespaces.exists(layout.namespace)
                else set()
            )
            new = [
                info
                for info in own.network_info
                if not there.issuperset(each.ip_address for each in info.network_allocations)
            ]
            if new and (used := self._used_by_others(new)):
                raise Unavailable(f"option export_addresses: another machine has {', '.join(used)}")
            server.join(own.network_info)

    def _require_same_kind(self) -> None:
        """Raise Unavailable if this back end has shares of the other kind, with or without share
        servers: they would be served on, and nothing about them could be changed."""
        folders = self.layout.servers.iterdir() if self.layout.servers.is_dir() else ()
        own_id = own_server.server_id(self.layout.backend_name)
        servers = {each.name for each in folders if any((each / "exports").glob("*.conf"))}
        others = servers & {own_id} if self.own is None else servers - {own_id}
        if others:
            raise Unavailable(
                "driver_handles_share_servers cannot be changed while this back end has shares "
                f"({', '.join(sorted(others))}): set it back, or give the back end another name"
            )

    def _used_by_others(self, network_info: Sequence[NetworkInfo]) -> list[str]:
        """Those of a server's new addresses that another machine has."""
        layout = self.layout.server(network_info[0].server_id)
        if not self._detects_duplicates or self._wires.is_own_only:
            duplicates.forget(layout, self._wires)
            return []
        self._refuse(network_info)
        return duplicates.addresses_in_use(layout, self._wires, network_info, self._highest_mtu)

    def _of(self, server: ShareServer | None) -> ShareServer:
        """The share server of a call, or the one file server. Raises Refused without either."""
        if self.own is None:
            return required(server)
        if server not in (None, self.own):
            self._refuse_servers()
        return self.own

    def _refuse_servers(self) -> None:
        """Raise Refused, in a call about share servers, where there are none."""
        if self.own is not None:
            raise Refused("This back end has no share servers.", is_public=True)

    def _paused(self, server: ShareServer, project_id: str) -> AbstractContextManager[object]:
        """Around what pauses clients of a share server, for a project. Where they are those of all
        projects, with a rest after each."""
        own = self.own is not None and server.id == self.own.id
        turns = Turns() if own else Turns(rest=0.0)
        return self._turns.setdefault(server.id, turns).taken(project_id)

    def _prove_walls(self) -> None:
        """Once a start: see `file_services/nfs/proof.py`. Raises Unavailable when file services
        here open what a client made up."""
        if self._is_proved:
            return
        numbers = {name: self.pool.ensure_empty(name) for name in (PROOF_OWN, PROOF_OTHER)}
        with self._locked(self._proof_server) as server:
            server.remove()  # what an interrupted proof left
            try:
                server.join([])
                server.publish([self._services.proof_export()])
                self._services.prove(self.layout.server(self._proof_server), numbers)
            finally:
                server.remove()
        self.pool.end_clients()
        self._is_proved = True

    def _serves(self, server_id: str) -> bool:
        try:
            return self._service(server_id).serves(
                partial(self.file_systems.answers, self._patience)
            )
        except Refused:  # an id that cannot be one: nobody made such a server
            return False

    def _service(self, server_id: str) -> FileService:
        return self._services.of(
            self.layout.server(server_id), lambda: self._pool_of(server_id).counts()
        )

    def _pool_of(self, server_id: str) -> Pool:
        """Where the shares of a server are. The proof's are in the pool itself: nobody but the
        proof can use them."""
        if server_id == self._proof_server:
            return self.pool
        with self._locked(server_id):
            return self.file_systems.of(server_id)

    def _delete(self, share_id: str, server_id: str) -> None:
        """A share's data, or a snapshot. Nothing there is success; where its server has no file
        system, nothing is."""
        with suppress(NotThere):
            self._pool_of(server_id).delete(share_id)

    def _end_file_service(self, server_id: str) -> None:
        """With what is mounted for it; all comes back when the share server is ensured."""
        with self._locked(server_id) as server:
            server.service.stop()
            mounts.unmount(self.layout.server(server_id).mounts)

    @contextmanager
    def _locked(self, server_id: str) -> Iterator[LinuxServer]:
        """The server, for one call at a time: exports of one server are made and told to Ganesha
        one after another."""
        with self._locks_guard:
            lock = self._locks.setdefault(server_id, threading.RLock())
        # The service keeps calls away from a share server of which one hangs. Where all projects
        # are on one, that would keep out all of them.
        if not lock.acquire(timeout=-1 if self.own is None else self.patience_for_own_server):
            raise Unavailable(
                "The file server of this back end is busy with another change.", is_public=True
            )
        try:
            with os_errors_sorted(f"share server {server_id}"):
                yield self._server(server_id)
        finally:
            lock.release()

    def _server(self, server_id: str) -> LinuxServer:
        layout, pool = self.layout.server(server_id), partial(self._pool_of, server_id)
        service = self._service(server_id)
        return LinuxServer(layout, self._wires, pool, service, self._bounds, self._highest_mtu)

    def _refuse(self, network_info: Sequence[NetworkInfo]) -> None:
        """Raise Refused when one server could not be on these subnets, or their networks are not
        reached from here."""
        refuse_malformed(network_info)
        refuse_unservable(network_info)
        self._wires.refuse_unreachable(network_info, self._highest_mtu)
