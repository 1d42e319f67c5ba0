"""The Linux back end: NFS out of network namespaces on this machine. Nothing but a Linux kernel and
Debian's packages is needed.

A share server is a network namespace with an interface a port and one NFS-Ganesha in it; a share is
a btrfs subvolume with a limit. This module is the interface to the service: options, locks, what is
refused. The parts: `server.py` (one share server), `routing.py` (its addresses), `inventory.py`
(what is there), and four folders: `wires/` (how its ports reach their networks), `file_services/`
(who speaks to clients), `pools/` (where the bytes are) and `backups/` (copies of them elsewhere).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from abaca.drivers.capabilities import Capabilities
from abaca.drivers.interface import exported_on, required
from abaca.drivers.linux import bounds, duplicates, ldap, mounts
from abaca.drivers.linux.backups import target
from abaca.drivers.linux.backups.calls import BackupCalls
from abaca.drivers.linux.backups.target import Target
from abaca.drivers.linux.bounds import Bounds
from abaca.drivers.linux.file_services.interface import (
    PROOF_OTHER,
    PROOF_OWN,
    PROOF_SERVER,
    Export,
    FileService,
    FileServices,
)
from abaca.drivers.linux.file_services.nfs import service
from abaca.drivers.linux.file_services.nfs.service import NfsServices
from abaca.drivers.linux.layout import Layout, safe_id
from abaca.drivers.linux.ldap import Account
from abaca.drivers.linux.option_values import flag, number
from abaca.drivers.linux.pools import file_systems
from abaca.drivers.linux.pools.interface import FileSystems, NotThere, Pool
from abaca.drivers.linux.pools.room import GIB
from abaca.drivers.linux.programs import os_errors_sorted
from abaca.drivers.linux.requirements import missing
from abaca.drivers.linux.server import LinuxServer
from abaca.drivers.linux.unservable import SMALLEST_IPV6_MTU, refuse_unservable
from abaca.drivers.linux.well_formed import refuse_malformed
from abaca.drivers.linux.wires import wiring
from abaca.drivers.linux.wires.interface import Wires
from abaca.drivers.linux.wires.plugging import BridgePlug
from abaca.drivers.linux.wires.wiring import Wiring
from abaca.errors import BackendError, Refused, Unavailable
from abaca.plugin_options import Option
from abaca.values import (
    AccessRule,
    Clients,
    ExportLocation,
    Finding,
    ManagedSnapshot,
    NetworkInfo,
    NetworkInfoUpdate,
    PoolStats,
    SecurityService,
    ServerUpdate,
    Share,
    ShareServer,
    ShareUpdate,
    Snapshot,
    SnapshotUpdate,
)

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
    **wiring.OPTIONS,
    **target.OPTIONS,
}
DEFAULTS = {name: option.default for name, option in OPTIONS.items()}
MOST_ASKED_AT_ONCE = 32  # most of the time of a probe goes by waiting


class LinuxDriver(BackupCalls):
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
        self.file_systems: FileSystems = file_systems.chosen(
            chosen, self.layout, self._ratio, self._end_file_service
        )
        self.pool = self.file_systems.pool
        self._services: FileServices = NfsServices(chosen, self._bounds.connections)
        self._wires: Wires = BridgePlug(chosen["namespace"], Wiring(chosen))
        self._patience = number(chosen, "answer_seconds", 0.1)
        self.backup_target = Target.of(chosen, self.layout)
        self.capabilities = replace(
            self.capabilities, backup_support=self.backup_target is not None
        )
        self._is_proved = False
        self._locks: dict[str, threading.RLock] = {}
        self._locks_guard = threading.Lock()

    @property
    def makes_networks(self) -> bool:
        return self._wires.is_own_only

    def check_for_setup_error(self) -> None:
        lacking = missing()
        if lacking:
            raise Unavailable(f"the linux back end lacks: {'; '.join(lacking)}")
        with os_errors_sorted("preparing the back end"):
            self.layout.prepare()
            self.file_systems.prepare()
            self._wires.prepare()
        self._prove_walls()

    def get_pools(self) -> list[PoolStats]:
        with os_errors_sorted("the pool"):
            capacity = self.file_systems.capacity()
        stats = PoolStats(
            pool_name=self._pool_name,
            total_capacity_gb=round(capacity.total / GIB, 2),
            free_capacity_gb=round(capacity.free / GIB, 2),
            snapshot_capacity_gb=round(capacity.kept_beside / GIB, 2),
            max_over_subscription_ratio=self._ratio,
            thin_provisioning=True,
            capabilities=self.capabilities.as_pool_capabilities(),
        )
        return [stats]

    def used_bytes(self) -> dict[str, int] | None:
        with os_errors_sorted("the pool"):
            return self.file_systems.used_by_share()

    # --- share servers ----------------------------------------------------------------------------

    def get_network_allocations_number(self) -> int:
        return 1

    def addresses_in_use(self, network_info: Sequence[NetworkInfo]) -> list[str]:
        """Without the server's lock: it is not there yet, or has nothing to do with these."""
        server_id = network_info[0].server_id
        if not self._detects_duplicates or self._wires.is_own_only:
            duplicates.forget(self.layout.server(server_id), self._wires)
            return []
        self._refuse(network_info)
        with os_errors_sorted(f"addresses of share server {server_id}"):
            return duplicates.addresses_in_use(
                self.layout.server(server_id), self._wires, network_info, self._highest_mtu
            )

    def setup_server(self, server_id: str, network_info: Sequence[NetworkInfo]) -> dict[str, str]:
        self._refuse(network_info)
        accounts = ldap.accounts(network_info)
        with self._locked(server_id) as server:
            self.file_systems.ensure(server_id)
            server.join(network_info)
            self._join(server_id, accounts, network_info)
            server.service.ensure_running()
        return self._details(server_id, network_info)

    def ensure_server(
        self, server: ShareServer, shares: Sequence[Share], snapshots: Sequence[Snapshot] = ()
    ) -> None:
        """Also takes away what is not described: subnets of an interrupted change, exports of what
        is not listed (the data stays).

        A share or snapshot whose data is not in the pool is Refused, after everything else was
        brought in order.
        """
        refuse_malformed(server.network_info)
        with self._locked(server.id) as linux_server:
            self.file_systems.ensure(server.id)
            linux_server.forget_question()
            linux_server.join(server.network_info)
            linux_server.service.resume_clients()
            linux_server.leave_others(server.network_info)
            described: list[Share | Snapshot] = [*shares, *snapshots]
            for share_id in linux_server.published() - {each.id for each in described}:
                linux_server.withdraw(share_id)
            pool = self._pool_of(server.id)
            held = set(pool.share_ids())
            present = [share for share in shares if share.id in held]
            pool.ensure_limits({share.id: share.size for share in present if not share.is_resizing})
            mountable = [each for each in snapshots if each.is_mountable and each.id in held]
            exported: list[Share | Snapshot] = [*present, *mountable]
            linux_server.publish([Export.of(each, server.network_info) for each in exported])
            linux_server.service.withdraw_unknown()
            # Last, and not proved again: an LDAP server that is down takes no share away.
            self._keep_accounts(server.id, server.network_info)
        lost = sorted(each.id for each in described if each.id not in held and each.is_complete)
        if lost:
            raise Refused(f"the pool does not have the data of {', '.join(lost)}")

    def unserved(self, server_ids: Sequence[str]) -> list[str]:
        """Those whose Ganesha is not there, or has left three probes in a row unanswered for
        `answer_seconds`, although the disk answers."""
        with ThreadPoolExecutor(MOST_ASKED_AT_ONCE, thread_name_prefix="serves") as threads:
            return [
                server_id
                for server_id, serves in zip(
                    server_ids, threads.map(self._serves, server_ids), strict=True
                )
                if not serves
            ]

    def wait_for_deaths(self, seconds: float) -> list[str]:
        return self._services.deaths(seconds)

    def restart_server(self, server_id: str) -> bool:
        with self._locked(server_id) as server:
            return server.restart()

    def get_clients(self, server: ShareServer) -> Clients | None:
        """Without the server's lock, which a change may hold for long."""
        with os_errors_sorted(f"clients of share server {server.id}"):
            return self._service(server.id).clients()

    def machine_findings(self) -> list[Finding]:
        with os_errors_sorted("looking at the wires"):
            unnamed = self._wires.unnamed()
        of_wires = [
            Finding(
                what="wires",
                lack=f"running share servers are connected by what is set no longer: {what}. They "
                "stay so until this machine is restarted, and are in error then: set it again, or "
                "move their shares",
            )
            for what in unnamed
        ] or [Finding(what="wires", seen="all that share servers are connected by is set")]
        return of_wires + (list(self.backup_target.findings()) if self.backup_target else [])

    def network_findings(self, info: NetworkInfo, client: str | None = None) -> list[Finding]:
        refuse_malformed([info])
        with os_errors_sorted(f"looking at share server {info.server_id}"):
            return list(self._server(info.server_id).findings(info, client))

    def export_findings(
        self, share: Share, info: NetworkInfo, client: str | None = None
    ) -> list[Finding]:
        refuse_malformed([info])
        service = self._service(info.server_id)
        with os_errors_sorted(f"looking at share server {info.server_id}"):
            return [
                finding
                for allocation in info.network_allocations
                for finding in service.export_findings(share.id, allocation.ip_address, client)
            ]

    def teardown_server(self, server_id: str, backend_details: dict[str, str]) -> None:
        with self._locked(server_id) as server:
            server.remove()
            self.file_systems.remove(server_id)

    def check_update_share_server_network_allocations(
        self,
        network_info: NetworkInfoUpdate,
        server_details: dict[str, str],
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> bool:
        if network_info.removed:
            self._refuse_removal(network_info)
        else:
            self._refuse([*network_info.current, *network_info.added])
        return True

    def update_share_server_network_allocations(
        self,
        network_info: NetworkInfoUpdate,
        server_details: dict[str, str],
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> ServerUpdate:
        self.check_update_share_server_network_allocations(
            network_info, server_details, shares, snapshots
        )
        wanted = [*network_info.current, *network_info.added]
        server_id = wanted[0].server_id
        with self._locked(server_id) as server:
            bound = _with_choice(shares, snapshots)
            if network_info.removed:
                self._shrink(server, network_info, bound)
            else:
                self._grow(server, network_info, bound)
        return self._moved(server_id, wanted, shares, snapshots)

    def update_share_server_drains(
        self, server: ShareServer, shares: Sequence[Share], snapshots: Sequence[Snapshot]
    ) -> ServerUpdate:
        refuse_malformed(server.network_info)
        with self._locked(server.id) as linux_server:
            linux_server.refuse_newcomers(server.network_info)
        return self._moved(server.id, server.network_info, shares, snapshots)

    def check_update_share_server_security_service(
        self,
        server: ShareServer,
        shares: Sequence[Share],
        new: SecurityService,
        current: SecurityService | None,
    ) -> bool:
        refuse_malformed(server.network_info)
        accounts = ldap.accounts(server.network_info)
        with self._locked(server.id):
            ldap.prove(self.layout.server(server.id), accounts, server.network_info)
        return True

    def update_share_server_security_service(
        self,
        server: ShareServer,
        shares: Sequence[Share],
        new: SecurityService,
        current: SecurityService | None,
    ) -> dict[str, str]:
        refuse_malformed(server.network_info)
        accounts = ldap.accounts(server.network_info)
        with self._locked(server.id):
            self._join(server.id, accounts, server.network_info)
        return {}

    # --- shares -----------------------------------------------------------------------------------

    def create_share(self, share: Share, server: ShareServer | None) -> list[ExportLocation]:
        server = required(server)
        if share.share_proto.upper() not in self.capabilities.storage_protocols:
            raise Refused(
                f"this back end serves {', '.join(self.capabilities.storage_protocols)}, not "
                f"{share.share_proto}",
                is_public=True,
            )
        with os_errors_sorted(f"share {share.id}"):
            self._pool_of(server.id).create(share.id, share.size)
        return self._publish_empty(share, server)

    def delete_share(self, share: Share, server: ShareServer | None) -> None:
        server = required(server)
        with self._locked(server.id) as linux_server:
            linux_server.withdraw(share.id)
        self._delete(share.id, server.id)

    def extend_share(self, share: Share, new_size: int, server: ShareServer | None) -> None:
        server = required(server)
        self._pool_of(server.id).resize(share.id, new_size)

    def shrink_share(self, share: Share, new_size: int, server: ShareServer | None) -> None:
        server = required(server)
        self._pool_of(server.id).resize(share.id, new_size)

    def update_access(
        self, share: Share, access_rules: Sequence[AccessRule], server: ShareServer | None
    ) -> dict[str, str]:
        server = required(server)
        with self._locked(server.id) as linux_server:
            return linux_server.publish([Export.of(share, server.network_info, access_rules)])

    def export_locations(
        self, what: Share | Snapshot, server: ShareServer | None
    ) -> list[ExportLocation]:
        export = Export.of(what, required(server).network_info)
        exported_on(export.choice, required(server))
        return self._services.locations(export, what.export_locations)

    # --- snapshots --------------------------------------------------------------------------------

    def create_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> SnapshotUpdate:
        server = required(server)
        pool = self._pool_of(server.id)
        pool.snapshot(snapshot.id, snapshot.share.id)
        location = str(pool.path(snapshot.id))
        if not snapshot.is_mountable:
            return SnapshotUpdate(provider_location=location)
        self.update_snapshot_access(snapshot, snapshot.access_rules, server)
        return SnapshotUpdate(
            provider_location=location,
            export_locations=self.export_locations(snapshot, server),
        )

    def delete_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> None:
        server = required(server)
        with self._locked(server.id) as linux_server:
            linux_server.withdraw(snapshot.id)
        self._delete(snapshot.id, server.id)

    def create_share_from_snapshot(
        self, share: Share, snapshot: Snapshot, server: ShareServer | None
    ) -> list[ExportLocation]:
        server = required(server)
        with os_errors_sorted(f"share {share.id}"):
            self._pool_of(server.id).clone(share.id, snapshot.id, share.size)
        return self._publish_empty(share, server)

    def revert_to_snapshot(
        self, snapshot: Snapshot, share: Share, server: ShareServer | None
    ) -> None:
        """Clients of this server wait meanwhile. Their mounts, and handles of what has not changed
        since the snapshot, stay good."""
        server = required(server)
        with self._locked(server.id) as linux_server:
            self._pool_of(server.id).revert(
                share.id,
                snapshot.id,
                snapshot.size,
                linux_server.set_aside(Export.of(share, server.network_info)),
            )

    def update_snapshot_access(
        self, snapshot: Snapshot, access_rules: Sequence[AccessRule], server: ShareServer | None
    ) -> dict[str, str]:
        server = required(server)
        with self._locked(server.id) as linux_server:
            return linux_server.publish([Export.of(snapshot, server.network_info, access_rules)])

    def manage_snapshot(
        self,
        snapshot: Snapshot,
        server: ShareServer | None,
        driver_options: Mapping[str, str],
    ) -> ManagedSnapshot:
        """It has kept its id, which ends its location, and is its share's by what btrfs says."""
        server = required(server)
        pool = self._pool_of(server.id)
        location = str(pool.path(snapshot.id))
        if snapshot.provider_location != location or not pool.is_snapshot_of(
            snapshot.id, snapshot.share.id
        ):
            raise Refused(
                "There is no snapshot of that share at the given location; one taken before the "
                "share was last reverted cannot be told from those of others.",
                is_public=True,
            )
        if not snapshot.is_mountable:
            return ManagedSnapshot(provider_location=location)
        self.update_snapshot_access(snapshot, snapshot.access_rules, server)
        return ManagedSnapshot(
            provider_location=location, export_locations=self.export_locations(snapshot, server)
        )

    def unmanage_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> None:
        with self._locked(required(server).id) as linux_server:
            linux_server.withdraw(snapshot.id)

    # ----------------------------------------------------------------------------------------------

    def _publish_choices(
        self,
        server: LinuxServer,
        bound: Sequence[Share | Snapshot],
        network_info: Sequence[NetworkInfo],
    ) -> None:
        """What rules grant on chosen subnets depends on those that the server has."""
        if bound:
            server.publish([Export.of(each, network_info) for each in bound])

    def _publish_empty(self, share: Share, server: ShareServer) -> list[ExportLocation]:
        """A share that has just been made, for nobody yet."""
        with self._locked(server.id) as linux_server:
            linux_server.publish([Export.of(share, server.network_info, ())])
        return self.export_locations(share, server)

    def _moved(
        self,
        server_id: str,
        network_info: Sequence[NetworkInfo],
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> ServerUpdate:
        """What is reached elsewhere now that the server is on these subnets."""
        updates = {}
        for share in shares:
            known = share.export_locations
            locations = self._services.locations(Export.of(share, network_info), known)
            if locations != known:
                updates[share.id] = ShareUpdate(export_locations=locations)
        mounted = {}
        for snapshot in snapshots:
            known = snapshot.export_locations
            locations = self._services.locations(Export.of(snapshot, network_info), known)
            if snapshot.is_mountable and snapshot.is_complete and locations != known:
                mounted[snapshot.id] = SnapshotUpdate(export_locations=locations)
        return ServerUpdate(
            share_updates=updates,
            snapshot_updates=mounted,
            backend_details=self._details(server_id, network_info),
        )

    def _prove_walls(self) -> None:
        """Once a start: see `file_services/nfs/proof.py`. Raises Unavailable when file services
        here open what a client made up."""
        if self._is_proved:
            return
        numbers = {name: self.pool.ensure_empty(name) for name in (PROOF_OWN, PROOF_OTHER)}
        with self._locked(PROOF_SERVER) as server:
            server.remove()  # what an interrupted proof left
            try:
                server.join([])
                server.publish([self._services.proof_export()])
                self._services.prove(self.layout.server(PROOF_SERVER), numbers)
            finally:
                server.remove()
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
        if server_id == PROOF_SERVER:
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
        with lock, os_errors_sorted(f"share server {server_id}"):
            yield self._server(server_id)

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

    def _refuse_removal(self, network_info: NetworkInfoUpdate) -> None:
        """Raise Refused when a server in use cannot do without what is removed. What stays is not
        judged: it stands."""
        refuse_malformed([*network_info.current, *network_info.removed])
        if not network_info.current:
            raise Refused("a share server needs a subnet", is_public=True)
        ldap.refuse_unreachable(ldap.accounts(network_info.current), network_info.current)

    def _grow(
        self,
        server: LinuxServer,
        network_info: NetworkInfoUpdate,
        bound: Sequence[Share | Snapshot],
    ) -> None:
        try:
            # Before clients of a new subnet come: to a rule they may be routed ones so far.
            self._publish_choices(server, bound, [*network_info.current, *network_info.added])
            server.join([*network_info.current, *network_info.added])
            server.service.ensure_running()
        except (BackendError, OSError):
            server.leave_others(network_info.current)
            self._publish_choices(server, bound, network_info.current)
            raise

    def _shrink(
        self,
        server: LinuxServer,
        network_info: NetworkInfoUpdate,
        bound: Sequence[Share | Snapshot],
    ) -> None:
        current = network_info.current
        server.require()
        try:
            server.leave_others(current)
            server.join(current)
            server.service.ensure_running()
            self._publish_choices(server, bound, current)
            self._keep_accounts(current[0].server_id, current)
        except (BackendError, OSError):
            with suppress(BackendError, OSError):  # else that would be told, not the reason
                server.join([*current, *network_info.removed])
                self._publish_choices(server, bound, [*current, *network_info.removed])
            raise

    def _keep_accounts(self, server_id: str, network_info: Sequence[NetworkInfo]) -> None:
        """The server's LDAP accounts, which are asked from one of these addresses."""
        layout, accounts = self.layout.server(server_id), ldap.accounts(network_info)
        ldap.keep(layout, accounts, network_info)

    def _join(
        self, server_id: str, accounts: Sequence[Account], network_info: Sequence[NetworkInfo]
    ) -> None:
        """Prove the LDAP accounts and keep exactly these; none is changed when one cannot be
        used."""
        layout = self.layout.server(server_id)
        ldap.prove(layout, accounts, network_info)
        ldap.keep(layout, accounts, network_info)

    def _details(self, server_id: str, network_info: Sequence[NetworkInfo]) -> dict[str, str]:
        addresses = [
            allocation.ip_address
            for info in network_info
            for allocation in info.network_allocations
        ]
        return {
            "server_name": self.layout.server(server_id).namespace,
            "ip_addresses": ",".join(addresses),
        }


def _with_choice(shares: Sequence[Share], snapshots: Sequence[Snapshot]) -> list[Share | Snapshot]:
    """Those that are there and exported on chosen subnets only."""
    mounted = [each for each in snapshots if each.is_mountable and each.is_complete]
    return [
        *(each for each in shares if each.is_complete and not each.export_choice.is_free),
        *(each for each in mounted if not each.share.export_choice.is_free),
    ]
