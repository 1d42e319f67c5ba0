"""The fake back end's share servers: what a driver with real networks would do, refuse and
return."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from abaca.drivers.fake.back_end import FakeBackEnd, server_there, share_there, snapshot_there
from abaca.drivers.fake.faults import Denied
from abaca.drivers.fake.moves import has_moved, is_mounted, moved
from abaca.drivers.fake.security_services import security_services
from abaca.drivers.fake.subjects import network_ids, server_id, update_ids
from abaca.drivers.fake.world import Server, World, stored_share, stored_snapshot
from abaca.drivers.interface import MOST_CLIENTS
from abaca.errors import BackendError, Refused, Unavailable
from abaca.values import (
    Answers,
    Clients,
    ManagedServer,
    NetworkInfo,
    NetworkInfoUpdate,
    SecurityService,
    ServerUpdate,
    Share,
    ShareServer,
    Snapshot,
)

_LOOK_SECONDS = 0.1  # at a state file that another process may change

OWN = "own"
"""The id of the file server of a back end without share servers."""


class FakeServers(FakeBackEnd):
    """Calls about share servers."""

    def __init__(self, backend_name: str, options: Mapping[str, str]) -> None:
        super().__init__(backend_name, options)
        self._reported_deaths: set[str] = set()

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
                self._require_for_itself(world, server_id)
                world.servers[server_id] = Server(
                    server_id, list(network_info), services, stands_on=self.options.stands_on
                )
                return world.servers[server_id].details()

    def ensure_server(
        self, server: ShareServer, shares: Sequence[Share], snapshots: Sequence[Snapshot] = ()
    ) -> None:
        with self._call("ensure_server", server.id, *network_ids(server.network_info)):
            self._judge_networks(server.network_info)
            services = security_services(server.network_info)
            with self._store.change() as world:
                self._require_for_itself(world, server.id)
                connected = world.servers[server.id].clients if server.id in world.servers else []
                world.servers[server.id] = Server(
                    server.id,
                    list(server.network_info),
                    services,
                    clients=connected,
                    stands_on=self.options.stands_on,
                )
                self._ensure(world, shares, snapshots, server.id)

    @property
    def own_server_id(self) -> str | None:
        return None if self.capabilities.driver_handles_share_servers else OWN

    def ensure_shares(
        self, shares: Sequence[Share], snapshots: Sequence[Snapshot] = ()
    ) -> ServerUpdate | None:
        with self._call("ensure_shares"), self._store.change() as world:
            world.servers[OWN] = Server(OWN, [])
            world.own_addresses = list(self.options.export_addresses)
            self._ensure(world, shares, snapshots, None)
            locations = partial(self._export_locations, world)
            there = [(each, world.shares[each.id]) for each in shares if each.is_complete]
            mounted = [(each, world.snapshots[each.id]) for each in snapshots if is_mounted(each)]
            return moved(
                world.servers[OWN],
                locations,
                [(each, stored) for each, stored in there if has_moved(each, stored, locations)],
                [(each, stored) for each, stored in mounted if has_moved(each, stored, locations)],
            )

    def unserved(self, server_ids: Sequence[str]) -> list[str]:
        with self._call("unserved"), self._store.read() as world:
            return [
                id_
                for id_ in server_ids
                if id_ not in world.servers
                or not world.servers[id_].is_served
                or not self._is_here(world.servers[id_])
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
            if server is None or server.is_served or not self._is_here(server):
                return False
            server.is_served, server.is_dead = True, False
            self._reported_deaths.discard(server_id)
            return True

    def get_clients(self, server: ShareServer) -> Clients | None:
        with self._call("get_clients", server.id), self._store.read() as world:
            self._require_here(world, server.id)
            there = server_there(world, server.id).clients
            return Clients(listed=there[:MOST_CLIENTS], is_complete=len(there) <= MOST_CLIENTS)

    def teardown_server(self, server_id: str, backend_details: dict[str, str]) -> None:
        with self._call("teardown_server", server_id), self._store.change() as world:
            world.servers.pop(server_id, None)

    @property
    def is_shared(self) -> bool:
        return self.options.shared_storage

    def leave_server(self, server_id: str) -> None:
        with self._call("leave_server", server_id), self._store.change() as world:
            if server_id in world.servers and self._is_here(world.servers[server_id]):
                _shut_out(world.servers[server_id])

    def fence_server(self, server_id: str) -> None:
        with self._call("fence_server", server_id), self._store.change() as world:
            if server_id in world.servers:
                _shut_out(world.servers[server_id])

    def servers_here(self) -> list[str]:
        with self._call("servers_here"), self._store.read() as world:
            return [id_ for id_, server in world.servers.items() if self._is_here(server)]

    def reached_at(self) -> list[str]:
        return [self.options.stands_on] if self.options.stands_on else []

    def answering(self, places: Sequence[str]) -> Answers:
        with self._call("answering"), self._store.change() as world:
            me = self.options.stands_on
            world.looks[me] = world.looks.get(me, 0) + 1
            at = [place for place in places if place not in world.dead_hosts]
        unasked: dict[str, str] = {}
        for place in places:
            try:
                self.faults.strike("answering", [place], "before")
            except BackendError as error:
                unasked[place] = error.message
        return Answers(at=[place for place in at if place not in unasked], unasked=unasked)

    def _is_here(self, server: Server) -> bool:
        return server.stands_on == self.options.stands_on

    def _require_here(self, world: World, server_id: str) -> None:
        server = world.servers.get(server_id)
        if server is not None and not self._is_here(server):
            raise Unavailable("The share server does not stand on this host.")

    def _require_for_itself(self, world: World, server_id: str) -> None:
        """No two hosts have a server at once."""
        server = world.servers.get(server_id)
        if server is not None and server.stands_on and not self._is_here(server):
            raise Refused(f"The share server stands on {server.stands_on}.", is_public=True)

    def manage_server(
        self, server_id: str, identifier: str, driver_options: Mapping[str, str]
    ) -> ManagedServer:
        with self._call("manage_server", server_id, identifier), self._store.change() as world:
            if server_id not in world.servers:
                server_there(world, identifier)
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
                server_there(world, server_id(network_info))
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
                server = server_there(world, server_id(network_info))
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
            stored = server_there(world, server.id)
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
                server_there(world, server.id)
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
                stored = server_there(world, server.id)
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
            stored = server_there(world, server.id)
            stored.network_info = [
                msgspec.structs.replace(entry, subnet_metadata=entry.subnet_metadata | metadata)
                if entry.share_network_subnet_id == share_network_subnet_id
                else entry
                for entry in stored.network_info
            ]

    def _apply_choices(
        self, world: World, shares: Sequence[Share], snapshots: Sequence[Snapshot]
    ) -> None:
        """What rules grant on chosen subnets depends on those that the server has."""
        for share in shares:
            if not share.export_choice.is_free:
                self._apply(world, share_there(world, share), share, share.access_rules)
        for each in snapshots:
            if is_mounted(each) and not each.share.export_choice.is_free:
                self._apply(world, snapshot_there(world, each), each, each.access_rules)

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
            [(share, share_there(world, share)) for share in shares],
            [(each, snapshot_there(world, each)) for each in snapshots if is_mounted(each)],
        )

    def _ensure(
        self,
        world: World,
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
        server_id: str | None,
    ) -> None:
        """These shares and snapshots are as they are described, on that server or on none."""
        for share in shares:
            if not share.is_complete and share.id not in world.shares:
                continue
            stored = world.shares.setdefault(share.id, stored_share(share, server_id))
            stored.size = stored.size if share.is_resizing else share.size
            self._apply(world, stored, share, share.access_rules)
        for snapshot in snapshots:
            if snapshot.is_complete or snapshot.id in world.snapshots:
                kept = world.snapshots.setdefault(
                    snapshot.id, stored_snapshot(world, snapshot, server_id)
                )
                self._apply(world, kept, snapshot, snapshot.access_rules)

    def _new_deaths(self) -> list[str]:
        with self._store.read() as world:
            dead = {id_ for id_, server in world.servers.items() if server.is_dead}
        new = sorted(dead - self._reported_deaths)
        self._reported_deaths = dead
        return new

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


def _shut_out(server: Server) -> None:
    server.stands_on, server.is_served, server.clients = "", False, []
