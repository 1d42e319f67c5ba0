"""The Linux back end: NFS out of network namespaces on this machine. Nothing but a Linux kernel and
Debian's packages is needed.

A share server is a network namespace with an interface a port and one NFS-Ganesha in it; a share is
a btrfs subvolume with a limit. This module is the interface to the service; `back_end.py` is what
its calls share: options, locks, what is refused. Without share servers there is one of these, which
`own_server.py` describes. The parts: `server.py` (one share server), `routing.py` (its addresses),
`inventory.py` (what is there), and four folders: `wires/` (how its ports reach their networks),
`file_services/` (who speaks to clients), `pools/` (where the bytes are) and `backups/` (copies of
them elsewhere).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from abaca.drivers.export_ranges import exported_on
from abaca.drivers.interface import UUID_PATTERN, path_name
from abaca.drivers.linux import ldap, signs_of_life
from abaca.drivers.linux.back_end import LinuxBackEnd
from abaca.drivers.linux.backups.calls import BackupCalls
from abaca.drivers.linux.file_services.interface import Export
from abaca.drivers.linux.layout import ID_PATTERN
from abaca.drivers.linux.ldap import Account
from abaca.drivers.linux.pools.room import GIB
from abaca.drivers.linux.programs import os_errors_sorted
from abaca.drivers.linux.server import LinuxServer
from abaca.drivers.linux.well_formed import refuse_malformed
from abaca.errors import BackendError, Refused
from abaca.values import (
    AccessRule,
    Answers,
    Clients,
    ExportLocation,
    Finding,
    ManagedShare,
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
    SpannedNetwork,
    TunnelEnd,
)

MOST_ASKED_AT_ONCE = 32  # most of the time of a probe goes by waiting

_LOG = logging.getLogger(__name__)


class LinuxDriver(LinuxBackEnd, BackupCalls):
    """The calls of the interface."""

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

    def join_hosts(self, end: TunnelEnd | None, networks: Sequence[SpannedNetwork]) -> list[str]:
        self._tunnel_end = end
        with os_errors_sorted("tunnels to other hosts"):
            return self._wires.join_hosts(end, networks)

    def addresses_in_use(self, network_info: Sequence[NetworkInfo]) -> list[str]:
        """Without the server's lock: it is not there yet, or has nothing to do with these."""
        with os_errors_sorted(f"addresses of share server {network_info[0].server_id}"):
            return self._used_by_others(network_info)

    def setup_server(self, server_id: str, network_info: Sequence[NetworkInfo]) -> dict[str, str]:
        self._refuse_servers()
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
        self._refuse_servers()
        self._ensure(server, shares, snapshots)

    def ensure_shares(
        self, shares: Sequence[Share], snapshots: Sequence[Snapshot] = ()
    ) -> ServerUpdate | None:
        """`export_addresses` may be others than when a share was made. One that cannot be served is
        said in the log, and keeps no other's locations from being stored."""
        if self.own is None:
            return None
        refuse_malformed(self.own.network_info)
        try:
            self._ensure(self.own, shares, snapshots)
        except Refused as error:
            _LOG.error("back end %s: %s", self.layout.backend_name, error.message)
        there = [share for share in shares if share.is_complete and _has_path(share)]
        return self._moved(self.own.id, self.own.network_info, there, snapshots)

    def _ensure(
        self, server: ShareServer, shares: Sequence[Share], snapshots: Sequence[Snapshot]
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
            # Whose creation or deletion failed: its rules may have been denied since.
            mountable = [each for each in snapshots if each.is_mountable and each.is_complete]
            served: list[Share | Snapshot] = [*shares, *mountable]
            for share_id in linux_server.published() - {each.id for each in served}:
                linux_server.withdraw(share_id)
            pool = self._pool_of(server.id)
            held = set(pool.share_ids())
            present = [share for share in shares if share.id in held]
            pool.ensure_limits({share.id: share.size for share in present if not share.is_resizing})
            exported = [each for each in served if each.id in held]
            linux_server.publish([Export.of(each, server.network_info) for each in exported])
            linux_server.service.withdraw_unknown()
            # Last, and not proved again: an LDAP server that is down takes no share away.
            self._keep_accounts(server.id, server.network_info)
        described: list[Share | Snapshot] = [*shares, *snapshots]
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
        found = [
            Finding(
                what="wires",
                lack=f"running share servers are connected by what is set no longer: {what}. They "
                "stay so until this machine is restarted, and are in error then: set it again, or "
                "move their shares",
            )
            for what in unnamed
        ] or [Finding(what="wires", seen="all that share servers are connected by is set")]
        for info in self.own.network_info if self.own else ():
            found += self.network_findings(info)
        return found + (list(self.backup_target.findings()) if self.backup_target else [])

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

    def leave_server(self, server_id: str) -> None:
        with self._locked(server_id) as server:
            server.remove()

    def fence_server(self, server_id: str) -> None:
        with os_errors_sorted(f"share server {server_id}"):
            self.file_systems.fence(server_id)

    def servers_here(self) -> list[str]:
        folder = self.layout.servers
        found = [each.name for each in folder.iterdir()] if folder.is_dir() else []
        return sorted(name for name in found if name != self._proof_server)

    def reached_at(self) -> list[str]:
        storage = self.file_systems.storage
        return signs_of_life.places(storage.namespace, self._tunnel_end) if storage else []

    def answering(self, places: Sequence[str]) -> Answers:
        storage = self.file_systems.storage
        if storage is None:
            return super().answering(places)
        return signs_of_life.answering(storage.namespace, places)

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
        server = self._of(server)
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
        server = self._of(server)
        with self._locked(server.id) as linux_server:
            linux_server.withdraw(share.id)
        self._delete(share.id, server.id)

    def manage_share(
        self,
        share: Share,
        export_path: str,
        server: ShareServer | None,
        driver_options: Mapping[str, str],
    ) -> ManagedShare:
        """The path is one that the share would have on the server. What it ends with is the id that
        the share has kept, or the name of a subvolume that an administrator has put beside the
        shares."""
        server = self._of(server)
        name = export_path.rpartition("/")[2]
        if not ID_PATTERN.fullmatch(name):
            raise Refused(
                f"The export path {export_path[:300]!r} does not end with the id of a share or the "
                "name of a subvolume: letters, digits, _ and -, at most 64.",
                is_public=True,
            )
        at_server = self._services.locations(
            Export(name, networks=server.network_info), [ExportLocation(path=export_path)]
        )
        if share.share_proto.upper() not in self.capabilities.storage_protocols or (
            export_path not in [each.path for each in at_server]
        ):
            raise Refused(
                f"No {share.share_proto} share would have the export path {export_path} here. "
                f"Possible: {', '.join(each.path for each in at_server)}.",
                is_public=True,
            )
        if name != share.id and UUID_PATTERN.fullmatch(name):
            raise Refused(f"{name} could be the data of another share.", is_public=True)
        with os_errors_sorted(f"share {share.id}"):
            size = self._pool_of(server.id).adopt(share.id, name)
        return ManagedShare(size=size, export_locations=self._publish_empty(share, server))

    def unmanage_share(self, share: Share, server: ShareServer | None) -> None:
        """Its clients reach it no longer; its data stay in the pool by its id."""
        with self._locked(self._of(server).id) as linux_server:
            linux_server.withdraw(share.id)

    def extend_share(self, share: Share, new_size: int, server: ShareServer | None) -> None:
        server = self._of(server)
        self._pool_of(server.id).resize(share.id, new_size)

    def shrink_share(self, share: Share, new_size: int, server: ShareServer | None) -> None:
        server = self._of(server)
        self._pool_of(server.id).resize(share.id, new_size)

    def update_access(
        self, share: Share, access_rules: Sequence[AccessRule], server: ShareServer | None
    ) -> dict[str, str]:
        server = self._of(server)
        with self._locked(server.id) as linux_server:
            return linux_server.publish([Export.of(share, server.network_info, access_rules)])

    def export_locations(
        self, what: Share | Snapshot, server: ShareServer | None
    ) -> list[ExportLocation]:
        server = self._of(server)
        export = Export.of(what, server.network_info)
        exported_on(export.choice, server)
        return self._services.locations(export, what.export_locations)

    # --- snapshots --------------------------------------------------------------------------------

    def create_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> SnapshotUpdate:
        server = self._of(server)
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

    def create_group_snapshot(
        self, snapshots: Sequence[Snapshot], server: ShareServer | None
    ) -> dict[str, SnapshotUpdate]:
        """Clients of this server wait meanwhile."""
        server = self._of(server)
        pool = self._pool_of(server.id)
        project_id = snapshots[0].share.project_id if snapshots else ""
        with self._paused(server, project_id), self._locked(server.id) as linux_server:
            pool.snapshot_all(
                {snapshot.id: snapshot.share.id for snapshot in snapshots}, linux_server.still()
            )
        return {
            snapshot.id: SnapshotUpdate(provider_location=str(pool.path(snapshot.id)))
            for snapshot in snapshots
        }

    def delete_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> None:
        server = self._of(server)
        with self._locked(server.id) as linux_server:
            linux_server.withdraw(snapshot.id)
        self._delete(snapshot.id, server.id)

    def create_share_from_snapshot(
        self, share: Share, snapshot: Snapshot, server: ShareServer | None
    ) -> list[ExportLocation]:
        server = self._of(server)
        with os_errors_sorted(f"share {share.id}"):
            self._pool_of(server.id).clone(share.id, snapshot.id, share.size)
        return self._publish_empty(share, server)

    def revert_to_snapshot(
        self, snapshot: Snapshot, share: Share, server: ShareServer | None
    ) -> None:
        """Clients of this server wait meanwhile. Their mounts, and handles of what has not changed
        since the snapshot, stay good."""
        server = self._of(server)
        with self._paused(server, share.project_id), self._locked(server.id) as linux_server:
            self._pool_of(server.id).revert(
                share.id,
                snapshot.id,
                snapshot.size,
                linux_server.set_aside(Export.of(share, server.network_info)),
            )

    def update_snapshot_access(
        self, snapshot: Snapshot, access_rules: Sequence[AccessRule], server: ShareServer | None
    ) -> dict[str, str]:
        server = self._of(server)
        with self._locked(server.id) as linux_server:
            return linux_server.publish([Export.of(snapshot, server.network_info, access_rules)])

    def manage_snapshot(
        self,
        snapshot: Snapshot,
        server: ShareServer | None,
        driver_options: Mapping[str, str],
    ) -> ManagedSnapshot:
        """It has kept its id, which ends its location, and is its share's by what btrfs says."""
        server = self._of(server)
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
        with self._locked(self._of(server).id) as linux_server:
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


def _has_path(share: Share) -> bool:
    """False for a mount point name that was written past the service."""
    try:
        path_name(share.mount_point_name, share.id)
    except Refused:
        return False
    return True


def _with_choice(shares: Sequence[Share], snapshots: Sequence[Snapshot]) -> list[Share | Snapshot]:
    """Those that are there and exported on chosen subnets only."""
    mounted = [each for each in snapshots if each.is_mountable and each.is_complete]
    return [
        *(each for each in shares if each.is_complete and not each.export_choice.is_free),
        *(each for each in mounted if not each.share.export_choice.is_free),
    ]
