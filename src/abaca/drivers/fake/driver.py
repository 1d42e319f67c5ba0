"""The fake back end's behaviour: what a driver with real storage would do, refuse and return. No
storage, no network, no privileges.

The world it acts on is in `world.py`, faults in `faults.py`, options in `options.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec

from abaca.drivers.fake.access import judged
from abaca.drivers.fake.faults import Denied, FaultPlan
from abaca.drivers.fake.moves import is_mounted, moved
from abaca.drivers.fake.options import OPTIONS, parse
from abaca.drivers.fake.security_services import security_services
from abaca.drivers.fake.subjects import network_ids, server_id, snapshot_ids, update_ids
from abaca.drivers.fake.world import (
    Server,
    Store,
    StoredShare,
    StoredSnapshot,
    World,
    stored_share,
    stored_snapshot,
)
from abaca.drivers.interface import MOST_CLIENTS, ShareDriver, exported_on, required
from abaca.errors import NoSpace, Refused
from abaca.values import (
    AccessRule,
    Client,
    Clients,
    ExportChoice,
    ExportLocation,
    ManagedServer,
    ManagedShare,
    NetworkInfo,
    NetworkInfoUpdate,
    PoolStats,
    SecurityService,
    ServerUpdate,
    Share,
    ShareServer,
    Snapshot,
    SnapshotUpdate,
)

GIB = 1024**3
_LOOK_SECONDS = 0.02  # at a state file that another process may change


class FakeDriver(ShareDriver):
    """`options`: see `abaca.drivers.fake.options`. Raises Unavailable when one of them makes no
    sense."""

    OPTIONS = OPTIONS

    def __init__(self, backend_name: str, options: Mapping[str, str]) -> None:
        self.backend_name = backend_name
        self.options = parse(options)
        self.capabilities = self.options.capabilities
        self.faults = FaultPlan(self.options.fault_plan)
        self._store = Store(self.options.state_file)
        self._reported_deaths: set[str] = set()

    def check_for_setup_error(self) -> None:
        with self._call("check_for_setup_error"), self._store.read():
            pass  # a state file that cannot be read shows here

    def get_pools(self) -> list[PoolStats]:
        with self._call("get_pools"), self._store.read() as world:
            return [self._pool_stats(world, name) for name in self.options.pools]

    def used_bytes(self) -> dict[str, int] | None:
        with self._call("used_bytes"), self._store.read() as world:
            return {id_: share.used_bytes for id_, share in world.shares.items()}

    def get_network_allocations_number(self) -> int:
        return self.options.network_allocations_number

    # --- share servers ----------------------------------------------------------------------------

    def addresses_in_use(self, network_info: Sequence[NetworkInfo]) -> list[str]:
        with (
            self._call("addresses_in_use", network_info[0].server_id, *network_ids(network_info)),
            self._store.read() as world,
        ):
            return [
                allocation.ip_address
                for entry in network_info
                for allocation in entry.network_allocations
                if world.is_neighbour(allocation.ip_address)
            ]

    def setup_server(self, server_id: str, network_info: Sequence[NetworkInfo]) -> dict[str, str]:
        with self._call("setup_server", server_id, *network_ids(network_info)):
            if len(network_info) > 1 and not self.capabilities.share_server_multiple_subnet_support:
                raise Refused(
                    "This back end sets up a share server on one subnet only.", is_public=True
                )
            self._judge_networks(network_info)
            services = security_services(network_info)
            with self._store.change() as world:
                world.servers[server_id] = Server(server_id, list(network_info), services)
                return world.servers[server_id].details()

    def ensure_server(
        self, server: ShareServer, shares: Sequence[Share], snapshots: Sequence[Snapshot] = ()
    ) -> None:
        with self._call("ensure_server", server.id, *network_ids(server.network_info)):
            self._judge_networks(server.network_info)
            services = security_services(server.network_info)
            with self._store.change() as world:
                connected = world.servers[server.id].clients if server.id in world.servers else []
                world.servers[server.id] = Server(
                    server.id, list(server.network_info), services, clients=connected
                )
                for share in shares:
                    if not share.is_complete and share.id not in world.shares:
                        continue
                    stored = world.shares.setdefault(share.id, stored_share(share, server.id))
                    stored.size = stored.size if share.is_resizing else share.size
                    self._apply(world, stored, share, share.access_rules)
                for snapshot in snapshots:
                    if snapshot.is_complete or snapshot.id in world.snapshots:
                        kept = world.snapshots.setdefault(
                            snapshot.id, stored_snapshot(world, snapshot, server.id)
                        )
                        self._apply(world, kept, snapshot, snapshot.access_rules)

    def unserved(self, server_ids: Sequence[str]) -> list[str]:
        with self._call("unserved"), self._store.read() as world:
            return [
                id_
                for id_ in server_ids
                if id_ not in world.servers or not world.servers[id_].is_served
            ]

    def wait_for_deaths(self, seconds: float) -> list[str]:
        with self._call("wait_for_deaths"):
            deadline = time.monotonic() + seconds
            while not (died := self._new_deaths()) and (left := deadline - time.monotonic()) > 0:
                time.sleep(min(left, _LOOK_SECONDS))
            return died

    def restart_server(self, server_id: str) -> bool:
        with self._call("restart_server", server_id), self._store.change() as world:
            server = world.servers.get(server_id)
            if server is None or server.is_served:
                return False
            server.is_served, server.is_dead = True, False
            self._reported_deaths.discard(server_id)
            return True

    def get_clients(self, server: ShareServer) -> Clients | None:
        with self._call("get_clients", server.id), self._store.read() as world:
            there = _server(world, server.id).clients
            return Clients(listed=there[:MOST_CLIENTS], is_complete=len(there) <= MOST_CLIENTS)

    def teardown_server(self, server_id: str, backend_details: dict[str, str]) -> None:
        with self._call("teardown_server", server_id), self._store.change() as world:
            world.servers.pop(server_id, None)

    def manage_server(
        self, server_id: str, identifier: str, driver_options: Mapping[str, str]
    ) -> ManagedServer:
        with self._call("manage_server", server_id, identifier), self._store.change() as world:
            if server_id not in world.servers:
                _server(world, identifier)
                world.rename_server(identifier, server_id)
            server = world.servers[server_id]
            return ManagedServer(ip_addresses=server.addresses(), backend_details=server.details())

    def unmanage_server(self, server_id: str, backend_details: dict[str, str]) -> None:
        with self._call("unmanage_server", server_id):
            pass  # it stays as it is

    def check_update_share_server_network_allocations(
        self,
        network_info: NetworkInfoUpdate,
        server_details: dict[str, str],
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> bool:
        if not self._can_change(network_info):
            return super().check_update_share_server_network_allocations(
                network_info, server_details, shares, snapshots
            )
        try:
            with (
                self._call(
                    "check_update_share_server_network_allocations",
                    *update_ids(network_info, shares),
                ),
                self._store.read() as world,
            ):
                _server(world, server_id(network_info))
                self._judge_families(network_info.added)
                return True
        except Denied:
            return False

    def update_share_server_network_allocations(
        self,
        network_info: NetworkInfoUpdate,
        server_details: dict[str, str],
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> ServerUpdate:
        if not self._can_change(network_info):
            return super().update_share_server_network_allocations(
                network_info, server_details, shares, snapshots
            )
        with self._call(
            "update_share_server_network_allocations", *update_ids(network_info, shares)
        ):
            self._judge_networks(network_info.added)
            with self._store.change() as world:
                server = _server(world, server_id(network_info))
                self._moved(world, server, shares, snapshots)  # refused before anything changes
                server.network_info = _merged(server.network_info, network_info)
                self._apply_choices(world, shares, snapshots)
                server.security_services = (
                    network_info.security_services or server.security_services
                )
                return self._moved(world, server, shares, snapshots)

    def update_share_server_drains(
        self, server: ShareServer, shares: Sequence[Share], snapshots: Sequence[Snapshot]
    ) -> ServerUpdate:
        draining = [entry for entry in server.network_info if entry.is_draining]
        with (
            self._call("update_share_server_drains", server.id, *network_ids(draining)),
            self._store.change() as world,
        ):
            stored = _server(world, server.id)
            self._moved(world, stored, shares, snapshots)  # refused before anything changes
            ids = {entry.share_network_subnet_id for entry in draining}
            stored.network_info = [
                msgspec.structs.replace(entry, is_draining=entry.share_network_subnet_id in ids)
                for entry in stored.network_info
            ]
            return self._moved(world, stored, shares, snapshots)

    def _can_change(self, update: NetworkInfoUpdate) -> bool:
        return (
            self.capabilities.share_server_subnet_removal_support
            if update.removed
            else self.capabilities.network_allocation_update_support
        )

    def check_update_share_server_security_service(
        self,
        server: ShareServer,
        shares: Sequence[Share],
        new: SecurityService,
        current: SecurityService | None,
    ) -> bool:
        if not self.capabilities.security_service_update_support:
            return super().check_update_share_server_security_service(server, shares, new, current)
        try:
            with (
                self._call("check_update_share_server_security_service", server.id, new.id),
                self._store.read() as world,
            ):
                _server(world, server.id)
                security_services(server.network_info)
                return True
        except Denied:
            return False

    def update_share_server_security_service(
        self,
        server: ShareServer,
        shares: Sequence[Share],
        new: SecurityService,
        current: SecurityService | None,
    ) -> dict[str, str]:
        if not self.capabilities.security_service_update_support:
            return super().update_share_server_security_service(server, shares, new, current)
        with self._call("update_share_server_security_service", server.id, new.id):
            services = security_services(server.network_info)
            with self._store.change() as world:
                stored = _server(world, server.id)
                stored.security_services = services
                return stored.details()

    def update_share_network_subnet_from_metadata(
        self, server: ShareServer, share_network_subnet_id: str, metadata: dict[str, str]
    ) -> None:
        with (
            self._call(
                "update_share_network_subnet_from_metadata", server.id, share_network_subnet_id
            ),
            self._store.change() as world,
        ):
            stored = _server(world, server.id)
            stored.network_info = [
                msgspec.structs.replace(entry, subnet_metadata=entry.subnet_metadata | metadata)
                if entry.share_network_subnet_id == share_network_subnet_id
                else entry
                for entry in stored.network_info
            ]

    # --- shares -----------------------------------------------------------------------------------

    def create_share(self, share: Share, server: ShareServer | None) -> list[ExportLocation]:
        with (
            self._call("create_share", share.id, share.share_id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            server_id = self._server_of(world, server)
            if share.share_proto.upper() not in self.capabilities.storage_protocols:
                raise Refused(f"This back end does not serve {share.share_proto}.", is_public=True)
            if share.id not in world.shares:
                self._require_exported(share.export_choice, server)
                self._judge_room(world, share.pool, share.size)
                world.shares[share.id] = stored_share(share, server_id)
            return self._export_locations(world, world.shares[share.id], _networks(server))

    def delete_share(self, share: Share, server: ShareServer | None) -> None:
        with (
            self._call("delete_share", share.id, share.share_id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            if any(snapshot.share_instance_id == share.id for snapshot in world.snapshots.values()):
                raise Refused(f"The share {share.id} has snapshots.", is_public=True)
            world.shares.pop(share.id, None)

    def manage_share(
        self,
        share: Share,
        export_path: str,
        server: ShareServer | None,
        driver_options: Mapping[str, str],
    ) -> ManagedShare:
        with (
            self._call("manage_share", share.id, share.share_id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            stored = world.exported(
                export_path, self._server_of(world, server)
            ) or world.shares.get(share.id)
            if stored is None or stored.share_proto.upper() != share.share_proto.upper():
                raise Refused(
                    f"This back end exports no {share.share_proto} share under {export_path} for "
                    "that server.",
                    is_public=True,
                )
            del world.shares[stored.id]
            stored.id, stored.share_id = share.id, share.share_id
            stored.export_choice = share.export_choice
            world.shares[share.id] = stored
            return ManagedShare(
                size=stored.size, export_locations=self._export_locations(world, stored)
            )

    def unmanage_share(self, share: Share, server: ShareServer | None) -> None:
        with self._call("unmanage_share", share.id, share.share_id, *self._server_ids(server)):
            pass  # it stays as it is

    def extend_share(self, share: Share, new_size: int, server: ShareServer | None) -> None:
        with (
            self._call("extend_share", share.id, share.share_id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            stored = _share(world, share)
            if new_size > stored.size:
                self._judge_room(world, stored.pool, new_size - stored.size)
                stored.size = new_size

    def shrink_share(self, share: Share, new_size: int, server: ShareServer | None) -> None:
        with (
            self._call("shrink_share", share.id, share.share_id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            stored = _share(world, share)
            if stored.used_bytes > new_size * GIB:
                raise Refused(
                    f"The share holds {stored.used_bytes / GIB:.2f} GiB, so it cannot shrink to "
                    f"{new_size} GiB.",
                    is_public=True,
                )
            stored.size = min(stored.size, new_size)

    def update_access(
        self, share: Share, access_rules: Sequence[AccessRule], server: ShareServer | None
    ) -> dict[str, str]:
        with (
            self._call("update_access", share.id, share.share_id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            return self._apply(world, _share(world, share), share, access_rules)

    def export_locations(
        self, what: Share | Snapshot, server: ShareServer | None
    ) -> list[ExportLocation]:
        with self._call("export_locations", what.id), self._store.read() as world:
            stored = _snapshot(world, what) if isinstance(what, Snapshot) else _share(world, what)
            self._require_exported(stored.export_choice, server)
            known = what.export_locations
            return self._export_locations(world, stored, _networks(server), known)

    # --- snapshots --------------------------------------------------------------------------------

    def create_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> SnapshotUpdate:
        with (
            self._call("create_snapshot", *snapshot_ids(snapshot), *self._server_ids(server)),
            self._store.change() as world,
        ):
            server_id = self._server_of(world, server)
            _share(world, snapshot.share)
            if snapshot.id not in world.snapshots:
                world.snapshots[snapshot.id] = stored_snapshot(world, snapshot, server_id)
            stored = world.snapshots[snapshot.id]
            self._apply(world, stored, snapshot, snapshot.access_rules)
            locations = self._export_locations(world, stored, _networks(server))
            return SnapshotUpdate(
                provider_location=f"/fake/snapshots/{snapshot.id}",
                export_locations=locations if stored.is_mountable else None,
            )

    def delete_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> None:
        with (
            self._call("delete_snapshot", *snapshot_ids(snapshot), *self._server_ids(server)),
            self._store.change() as world,
        ):
            world.snapshots.pop(snapshot.id, None)

    def create_share_from_snapshot(
        self, share: Share, snapshot: Snapshot, server: ShareServer | None
    ) -> list[ExportLocation]:
        subjects = (share.id, share.share_id, *snapshot_ids(snapshot), *self._server_ids(server))
        with self._call("create_share_from_snapshot", *subjects), self._store.change() as world:
            server_id = self._server_of(world, server)
            stored = _snapshot(world, snapshot)
            if share.id not in world.shares:
                self._require_exported(share.export_choice, server)
                self._judge_room(world, share.pool, share.size)
                world.shares[share.id] = stored_share(share, server_id)
                world.shares[share.id].used_bytes = stored.used_bytes
            return self._export_locations(world, world.shares[share.id], _networks(server))

    def revert_to_snapshot(
        self, snapshot: Snapshot, share: Share, server: ShareServer | None
    ) -> None:
        subjects = (share.id, share.share_id, *snapshot_ids(snapshot), *self._server_ids(server))
        with self._call("revert_to_snapshot", *subjects), self._store.change() as world:
            stored, kept = _share(world, share), _snapshot(world, snapshot)
            if kept.size > stored.size:
                self._judge_room(world, stored.pool, kept.size - stored.size)
            stored.size, stored.used_bytes = kept.size, kept.used_bytes

    def update_snapshot_access(
        self, snapshot: Snapshot, access_rules: Sequence[AccessRule], server: ShareServer | None
    ) -> dict[str, str]:
        with (
            self._call(
                "update_snapshot_access", *snapshot_ids(snapshot), *self._server_ids(server)
            ),
            self._store.change() as world,
        ):
            return self._apply(world, _snapshot(world, snapshot), snapshot, access_rules)

    def _apply_choices(
        self, world: World, shares: Sequence[Share], snapshots: Sequence[Snapshot]
    ) -> None:
        """What rules grant on chosen subnets depends on those that the server has."""
        for share in shares:
            if not share.export_choice.is_free:
                self._apply(world, _share(world, share), share, share.access_rules)
        for each in snapshots:
            if is_mounted(each) and not each.share.export_choice.is_free:
                self._apply(world, _snapshot(world, each), each, each.access_rules)

    def _moved(
        self,
        world: World,
        server: Server,
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> ServerUpdate:
        return moved(
            server,
            partial(self._export_locations, world),
            [(share, _share(world, share)) for share in shares],
            [(each, _snapshot(world, each)) for each in snapshots if is_mounted(each)],
        )

    def _export_locations(
        self,
        world: World,
        stored: StoredShare | StoredSnapshot,
        network_info: Sequence[NetworkInfo] = (),
        known: Sequence[ExportLocation] = (),
    ) -> list[ExportLocation]:
        """Those of tenants, and before them one that tells the service's tests whether it is kept
        from tenants."""
        found = world.export_locations(stored, network_info, known)
        if self.options.admin_only_export_locations:
            found.insert(
                0,
                ExportLocation(path=f"fake-admin:/{stored.id}", preferred=True, is_admin_only=True),
            )
        return found

    # --- for tests --------------------------------------------------------------------------------

    def world(self) -> dict[str, Any]:
        """Everything it holds, as plain data: `servers`, `shares` and `snapshots` by id; the latter
        two with their `export_locations`.

        Security services are included.
        """
        with self._store.read() as world:
            told: dict[str, Any] = msgspec.to_builtins(world)
            del told["neighbours"]
            for id_, share in world.shares.items():
                told["shares"][id_]["export_locations"] = [
                    location.path for location in world.export_locations(share)
                ]
            for id_, snapshot in world.snapshots.items():
                paths = (
                    [location.path for location in world.export_locations(snapshot)]
                    if snapshot.is_mountable
                    else []
                )
                told["snapshots"][id_]["export_locations"] = paths
            return told

    def set_used_bytes(self, share_instance_id: str, used_bytes: int) -> None:
        """As if clients had written that much."""
        with self._store.change() as world:
            world.shares[share_instance_id].used_bytes = used_bytes

    def set_clients(self, server_id: str, clients: Sequence[Client]) -> None:
        """As if these were connected, and nobody else."""
        with self._store.change() as world:
            world.servers[server_id].clients = list(clients)

    def set_neighbours(self, *addresses: str) -> None:
        """Have other machines use these addresses, or all of these prefixes, and no others."""
        with self._store.change() as world:
            world.neighbours = list(addresses)

    def stop_serving(self, server_id: str, *, dies: bool = True) -> None:
        """As if the server's file server had died by itself, or else hung."""
        with self._store.change() as world:
            world.servers[server_id].is_served, world.servers[server_id].is_dead = False, dies

    # --- inside -----------------------------------------------------------------------------------

    @contextmanager
    def _call(self, method: str, *subjects: str) -> Iterator[None]:
        """Around each call: its delay and its faults. Outside of every lock, so that a call that
        hangs holds nobody up."""
        delays = self.options.delays
        delay = delays.get(method, delays.get("*", 0.0) if subjects else 0.0)
        if delay:
            time.sleep(delay)
        self.faults.strike(method, subjects, "before")
        yield
        self.faults.strike(method, subjects, "after")

    def _server_ids(self, server: ShareServer | None) -> list[str]:
        """The id of the server that a call is about; none in a back end without servers."""
        return [required(server).id] if self.capabilities.driver_handles_share_servers else []

    def _server_of(self, world: World, server: ShareServer | None) -> str | None:
        """The id of a server that is there; None in a back end without servers."""
        return next((_server(world, id_).id for id_ in self._server_ids(server)), None)

    def _require_exported(self, choice: ExportChoice, server: ShareServer | None) -> None:
        """Raises Refused when the server has none of the chosen subnets."""
        if not choice.is_free:
            exported_on(choice, required(server))

    def _new_deaths(self) -> list[str]:
        with self._store.read() as world:
            dead = {id_ for id_, server in world.servers.items() if server.is_dead}
        new = sorted(dead - self._reported_deaths)
        self._reported_deaths = dead
        return new

    def _pool_stats(self, world: World, name: str) -> PoolStats:
        options = self.options
        used = sum(share.used_bytes for share in world.shares.values() if share.pool == name) / GIB
        return PoolStats(
            pool_name=name,
            total_capacity_gb=options.pools[name],
            free_capacity_gb=max(
                options.pools[name]
                - (used if options.thin_provisioning else world.promised_gb(name)),
                0.0,
            ),
            reserved_percentage=options.reserved_percentage,
            max_over_subscription_ratio=options.max_over_subscription_ratio,
            thin_provisioning=options.thin_provisioning,
            capabilities=self.capabilities.as_pool_capabilities()
            | {"share_backend_name": self.backend_name},
        )

    def _judge_room(self, world: World, pool: str, size: int) -> None:
        if pool not in self.options.pools:
            raise Refused(f"This back end has no pool '{pool}'.", is_public=True)
        ratio = self.options.max_over_subscription_ratio if self.options.thin_provisioning else 1.0
        free = self.options.pools[pool] * ratio - world.promised_gb(pool)
        if size > free:
            raise NoSpace(f"The pool {pool} has {max(free, 0):g} GiB left, {size} GiB are needed.")

    def _judge_networks(self, network_info: Sequence[NetworkInfo]) -> None:
        self._judge_families(network_info)
        wanted = self.options.network_allocations_number
        for entry in network_info:
            if len(entry.network_allocations) < wanted:
                raise Refused(
                    f"{wanted} addresses are needed on {entry.subnet.cidr}, "
                    f"{len(entry.network_allocations)} were given.",
                    is_public=True,
                )

    def _judge_families(self, network_info: Sequence[NetworkInfo]) -> None:
        served = {4: self.capabilities.ipv4_support, 6: self.capabilities.ipv6_support}
        for entry in network_info:
            if not served.get(entry.subnet.ip_version, False):
                raise Refused(
                    f"This back end does not serve IPv{entry.subnet.ip_version} "
                    f"({entry.subnet.cidr}).",
                    is_public=True,
                )

    def _apply(
        self,
        world: World,
        stored: StoredShare | StoredSnapshot,
        what: Share | Snapshot,
        rules: Sequence[AccessRule],
    ) -> dict[str, str]:
        """These rules hold, and the choice that the share has now. The rules that cannot be
        enforced."""
        share = what.share if isinstance(what, Snapshot) else what
        server = world.servers.get(stored.server_id or "")
        stored.export_choice = share.export_choice
        stored.access_rules, refused = judged(
            rules,
            share.share_proto,
            self.capabilities,
            share.export_choice,
            server.network_info if server else [],
        )
        return refused


def _server(world: World, server_id: str) -> Server:
    if server_id not in world.servers:
        raise Refused(f"This back end has no share server {server_id}.", is_public=True)
    return world.servers[server_id]


def _networks(server: ShareServer | None) -> Sequence[NetworkInfo]:
    return server.network_info if server else ()


def _share(world: World, share: Share) -> StoredShare:
    if share.id not in world.shares:
        raise Refused(f"This back end has no share {share.id}.", is_public=True)
    return world.shares[share.id]


def _snapshot(world: World, snapshot: Snapshot) -> StoredSnapshot:
    if snapshot.id not in world.snapshots:
        raise Refused(f"This back end has no snapshot {snapshot.id}.", is_public=True)
    return world.snapshots[snapshot.id]


def _merged(have: Sequence[NetworkInfo], update: NetworkInfoUpdate) -> list[NetworkInfo]:
    """What is there keeps its place, what is new comes after it, so that export locations keep
    their order. Repeating changes nothing."""
    wanted = {entry.share_network_subnet_id: entry for entry in (*update.current, *update.added)}
    gone = {entry.share_network_subnet_id for entry in update.removed}
    kept = {
        entry.share_network_subnet_id: wanted.get(entry.share_network_subnet_id, entry)
        for entry in have
    }
    return [entry for id_, entry in (kept | wanted).items() if id_ not in gone]
