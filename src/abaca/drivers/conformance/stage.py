"""What the suite runs on: invented networks, a stage that takes away what a test made, and the
checks that many tests share. No tests here."""

from __future__ import annotations

import ipaddress
import itertools
import re
import uuid
from collections.abc import Callable, Sequence
from typing import TypeVar, get_type_hints

import msgspec
import pytest

from abaca.drivers.interface import ShareDriver
from abaca.values import (
    AccessRule,
    ExportLocation,
    NetworkAllocation,
    NetworkInfo,
    NetworkInfoUpdate,
    ServerUpdate,
    Share,
    ShareServer,
    Snapshot,
    Subnet,
)

T = TypeVar("T")


class Networks:
    """Subnets and addresses for one test, invented: network `n` has 10.<100+n>.0.0/24 and
    fd00:abac:<n>::/64.

    Override it for a back end that needs real ones.
    """

    _vlan = itertools.count(1000)

    def __init__(self, allocations: int) -> None:
        self._allocations = allocations
        self._ids: dict[object, str] = {}
        self._segments: dict[int, int] = {}
        self._next = itertools.count(16)

    def entry(self, server_id: str, network: int, ip_version: int, copy: int = 0) -> NetworkInfo:
        """A subnet of network `network` with addresses for the server. Each `copy` is another share
        network subnet on that same subnet."""
        subnet = self.subnet(network, ip_version)
        numbers = [next(self._next) for _ in range(self._allocations)]
        return NetworkInfo(
            server_id=server_id,
            share_network_subnet_id=self._id("share network subnet", network, ip_version, copy),
            subnet=subnet,
            network_allocations=[
                NetworkAllocation(
                    id=str(uuid.uuid4()),
                    ip_address=str(ipaddress.ip_network(subnet.cidr)[number]),
                    mac_address=f"fa:16:3e:{network:02x}:{ip_version:02x}:{number:02x}",
                )
                for number in numbers
            ],
        )

    def subnet(self, network: int, ip_version: int) -> Subnet:
        cidr = f"10.{100 + network}.0.0/24" if ip_version == 4 else f"fd00:abac:{network:x}::/64"
        return Subnet(
            neutron_net_id=self._id("network", network),
            neutron_subnet_id=self._id("subnet", network, ip_version),
            cidr=cidr,
            ip_version=ip_version,
            gateway=str(ipaddress.ip_network(cidr)[1]),
            mtu=1450,
            network_type="vxlan",
            segmentation_id=self._segments.setdefault(network, next(self._vlan)),
        )

    def _id(self, *what: object) -> str:
        return self._ids.setdefault(what, str(uuid.uuid4()))


class Stage:
    """What one test makes on the back end, taken away when it ends."""

    def __init__(self, driver: ShareDriver, networks: Networks) -> None:
        self.driver = driver
        self.networks = networks
        self.families = [
            version
            for version, served in (
                (4, driver.capabilities.ipv4_support),
                (6, driver.capabilities.ipv6_support),
            )
            if served
        ]
        self._servers: dict[str, ShareServer] = {}
        self._shares: list[tuple[Share, ShareServer | None]] = []
        self._snapshots: list[tuple[Snapshot, ShareServer | None]] = []

    def described(self, *subnets: tuple[int, int]) -> ShareServer:
        """A server to be made on these (network, IP version) pairs; by default on one subnet."""
        need(self.driver.capabilities.driver_handles_share_servers, "share servers")
        id_ = str(uuid.uuid4())
        server = ShareServer(
            id=id_,
            network_info=[
                self.networks.entry(id_, *subnet) for subnet in subnets or [(0, self.families[0])]
            ],
        )
        self._servers[id_] = server
        return server

    def server(self, *subnets: tuple[int, int]) -> ShareServer:
        server = self.described(*subnets)
        details = self.driver.setup_server(server.id, server.network_info)
        return self.now(msgspec.structs.replace(server, backend_details=details))

    def server_on_all_families(self) -> ShareServer:
        families = (
            self.families
            if self.driver.capabilities.share_server_multiple_subnet_support
            else self.families[:1]
        )
        return self.server(*((0, version) for version in families))

    def now(self, server: ShareServer) -> ShareServer:
        """The server as it is from now on."""
        self._servers[server.id] = server
        return server

    def new_share(self, server: ShareServer | None, size: int = 1) -> Share:
        """A share that is not made yet."""
        share = Share(
            id=str(uuid.uuid4()),
            share_id=str(uuid.uuid4()),
            size=size,
            share_proto=self.driver.capabilities.storage_protocols[0],
            pool=self.driver.get_pools()[0].pool_name,
            share_server_id=server.id if server else None,
        )
        self._shares.append((share, server))
        return share

    def share(self, server: ShareServer | None, size: int = 1) -> Share:
        share = self.new_share(server, size)
        return msgspec.structs.replace(
            share, export_locations=self.driver.create_share(share, server)
        )

    def new_snapshot(
        self, share: Share, server: ShareServer | None, *, is_mountable: bool = False
    ) -> Snapshot:
        """A snapshot that is not taken yet; one that can be mounted has the share's rules, to
        read."""
        rules = (
            [msgspec.structs.replace(rule, access_level="ro") for rule in share.access_rules]
            if is_mountable
            else []
        )
        id_, snapshot_id = str(uuid.uuid4()), str(uuid.uuid4())
        snapshot = Snapshot(
            id=id_,
            snapshot_id=snapshot_id,
            share=share,
            size=share.size,
            is_mountable=is_mountable,
            access_rules=rules,
        )
        self._snapshots.append((snapshot, server))
        return snapshot

    def snapshot(
        self, share: Share, server: ShareServer | None, *, is_mountable: bool = False
    ) -> Snapshot:
        snapshot = self.new_snapshot(share, server, is_mountable=is_mountable)
        taken = self.driver.create_snapshot(snapshot, server)
        return msgspec.structs.replace(
            snapshot,
            export_locations=taken.export_locations or [],
            provider_location=taken.provider_location,
            is_complete=True,
        )

    def exchange(self, driver: ShareDriver) -> None:
        """Another object for the same back end, as a restarted worker makes one: what the old one
        stored in `data` is there."""
        driver.data = self.driver.data
        self.driver = driver

    def clear(self) -> None:
        for snapshot, server in self._snapshots:
            self.driver.delete_snapshot(snapshot, self._servers[server.id] if server else None)
        for share, stood_on in self._shares:
            self.driver.delete_share(share, self._servers[stood_on.id] if stood_on else None)
        for server in self._servers.values():
            self.driver.teardown_server(server.id, server.backend_details)


def forgotten(server: ShareServer) -> ShareServer:
    """The server as it looks when a crash lost what `setup_server` answered."""
    return msgspec.structs.replace(server, backend_details={})


def twice(call: Callable[[], T]) -> T:
    """Any call may be repeated after a crash that lost its answer: the answer is the same."""
    first = call()
    assert call() == first
    return first


def addresses(server: ShareServer) -> list[str]:
    return [
        allocation.ip_address
        for entry in server.network_info
        for allocation in entry.network_allocations
    ]


def address_of(location: ExportLocation) -> str:
    r"""The server's address in `10.0.0.5:/path`, `[fd00::5]:/path` or `\\10.0.0.5\name`."""
    found = re.match(r"\[([^]]+)\]:|([0-9.]+):|\\\\([^\\]+)\\", location.path)
    assert found, f"no address in {location.path}"
    return str(ipaddress.ip_address(next(group for group in found.groups() if group)))


def shown(locations: Sequence[ExportLocation]) -> list[ExportLocation]:
    """Those that tenants see. Beside them there may be any number for administrators only, anywhere
    in the list and of any form."""
    return [location for location in locations if not location.is_admin_only]


def assert_well_formed(locations: Sequence[ExportLocation], server: ShareServer) -> None:
    """A location for each address that tenants see, in the server's order; of each family exactly
    the first is preferred."""
    told = [address_of(location) for location in shown(locations)]
    assert told == [str(ipaddress.ip_address(address)) for address in addresses(server)]
    versions = [ipaddress.ip_address(address).version for address in told]
    assert [location.ip_version for location in shown(locations)] == versions
    assert len({location.path for location in locations}) == len(locations)
    first = dict(zip(reversed(versions), reversed(told), strict=True))
    preferred = [address_of(location) for location in shown(locations) if location.preferred]
    assert preferred == [address for address in told if address in first.values()]


def as_kept(method: str, answer: object) -> object:
    """What the service makes of an answer of that method: stored as JSON, and read as the
    interface's annotation says."""
    kept = msgspec.json.decode(msgspec.json.encode(answer))
    return msgspec.convert(kept, get_type_hints(getattr(ShareDriver, method))["return"])


def rule(access_to: str, access_type: str = "ip", access_level: str = "rw") -> AccessRule:
    return AccessRule(
        id=str(uuid.uuid4()),
        access_type=access_type,
        access_to=access_to,
        access_level=access_level,
    )


def need(ability: bool, what: str) -> None:
    if not ability:
        pytest.skip(f"the driver does not have {what}")


def client_on(entry: NetworkInfo, number: int = 1) -> str:
    """An address of a client on that subnet, away from those of servers."""
    return str(ipaddress.ip_network(entry.subnet.cidr)[200 + number])


def growing(stage: Stage, *added: tuple[int, ...]) -> tuple[ShareServer, Share, NetworkInfoUpdate]:
    """A server on one subnet with a share, and the addition of others: (network, IP version[,
    copy]); by default of a second network."""
    need(
        stage.driver.capabilities.network_allocation_update_support,
        "network_allocation_update_support",
    )
    server = stage.server()
    share = stage.share(server)
    entries = [
        stage.networks.entry(server.id, *subnet) for subnet in added or [(1, stage.families[-1])]
    ]
    return server, share, NetworkInfoUpdate(current=server.network_info, added=entries)


def apply(
    stage: Stage, server: ShareServer, shares: Sequence[Share], update: NetworkInfoUpdate
) -> ServerUpdate:
    return stage.driver.update_share_server_network_allocations(
        update, server.backend_details, shares, []
    )


def after(server: ShareServer, update: NetworkInfoUpdate, answer: ServerUpdate) -> ShareServer:
    """The server as it is when the update is done."""
    return ShareServer(
        id=server.id,
        network_info=[*update.current, *update.added],
        backend_details=answer.backend_details,
    )
