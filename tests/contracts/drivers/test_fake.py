"""The fake driver: the conformance suite over its combinations of capabilities, its own semantics
and its state file."""

from __future__ import annotations

import ipaddress
import json
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from abaca.drivers.conformance import DriverConformance
from abaca.drivers.fake import FakeDriver
from abaca.drivers.interface import MOST_CLIENTS, ShareDriver
from abaca.errors import NoSpace, Refused, Unavailable
from abaca.values import (
    AccessRule,
    Client,
    Clients,
    ExportLocation,
    NetworkInfo,
    NetworkInfoUpdate,
    SecurityService,
    Share,
    ShareServer,
)
from tests.contracts.drivers.fake_scene import Scene, make_scene

GIB = 1024**3
MULTIPLE = "share_server_multiple_subnet_support"
UPDATE = "network_allocation_update_support"


class OnFake(DriverConformance):
    """How a fake back end is made, filled, read and lost."""

    OPTIONS: ClassVar[dict[str, str]] = {}

    @pytest.fixture
    def driver(self) -> FakeDriver:
        return FakeDriver("fake", self.OPTIONS)

    def lose_everything(self, driver: ShareDriver) -> FakeDriver:
        return FakeDriver("fake", self.OPTIONS)

    def stop_serving(self, driver: ShareDriver, server: ShareServer) -> None:
        assert isinstance(driver, FakeDriver)
        driver.stop_serving(server.id)

    def fill_share(self, driver: ShareDriver, share: Share, server: ShareServer, gib: int) -> None:
        assert isinstance(driver, FakeDriver)
        driver.set_used_bytes(share.id, gib * GIB)

    def empty_share(self, driver: ShareDriver, share: Share, server: ShareServer) -> None:
        assert isinstance(driver, FakeDriver)
        driver.set_used_bytes(share.id, 0)

    def held_gib(self, driver: ShareDriver, share: Share, server: ShareServer) -> int:
        assert isinstance(driver, FakeDriver)
        return int(driver.world()["shares"][share.id]["used_bytes"]) // GIB

    def can_read(
        self, driver: ShareDriver, location: ExportLocation, client: str, entry: NetworkInfo
    ) -> bool:
        return self.reads(driver, location, client)

    def reads(self, driver: ShareDriver, location: ExportLocation, client: str) -> bool:
        assert isinstance(driver, FakeDriver)
        world = driver.world()
        rules = [
            rule
            for each in (*world["shares"].values(), *world["snapshots"].values())
            if location.path in each["export_locations"]
            for rule in each["access_rules"]
        ]
        return any(
            ipaddress.ip_address(client) in ipaddress.ip_network(rule["access_to"])
            for rule in rules
        )

    def stop_own_server(self, driver: ShareDriver) -> None:
        assert isinstance(driver, FakeDriver)
        assert driver.own_server_id is not None
        driver.stop_serving(driver.own_server_id)

    @contextmanager
    def neighbour(self, driver: ShareDriver, entry: NetworkInfo) -> Iterator[None]:
        assert isinstance(driver, FakeDriver)
        driver.set_neighbours(*(each.ip_address for each in entry.network_allocations))
        yield
        driver.set_neighbours()

    @contextmanager
    def directory(self, driver: ShareDriver, entry: NetworkInfo) -> Iterator[list[SecurityService]]:
        yield [
            SecurityService(
                id=f"s{number}",
                type="ldap",
                server="10.0.0.2",
                user="u",
                password=f"clear-{number}",
            )
            for number in (1, 2)
        ]


class TestInMemory(OnFake):
    pass


class TestInAFile(OnFake):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> FakeDriver:
        return FakeDriver("fake", {"state_file": str(tmp_path / "state.json")})

    def lose_everything(self, driver: ShareDriver) -> FakeDriver:
        assert isinstance(driver, FakeDriver)
        assert driver.options.state_file
        driver.options.state_file.unlink()
        return FakeDriver("fake", {"state_file": str(driver.options.state_file)})


class TestTwoAddressesASubnet(OnFake):
    OPTIONS: ClassVar[dict[str, str]] = {"network_allocations_number": "2"}


class TestSingleSubnet(OnFake):
    OPTIONS: ClassVar[dict[str, str]] = {MULTIPLE: "false", UPDATE: "false"}


class TestUpdateOnly(OnFake):
    OPTIONS: ClassVar[dict[str, str]] = {MULTIPLE: "false"}


class TestMultipleOnly(OnFake):
    OPTIONS: ClassVar[dict[str, str]] = {UPDATE: "false"}


class TestIPv4Only(OnFake):
    OPTIONS: ClassVar[dict[str, str]] = {"ipv6_support": "false"}


class TestIPv6Only(OnFake):
    OPTIONS: ClassVar[dict[str, str]] = {"ipv4_support": "false"}


class TestWithoutSnapshots(OnFake):
    OPTIONS: ClassVar[dict[str, str]] = dict.fromkeys(
        (
            "snapshot_support",
            "create_share_from_snapshot_support",
            "revert_to_snapshot_support",
            "mount_snapshot_support",
        ),
        "false",
    )


class TestThin(OnFake):
    OPTIONS: ClassVar[dict[str, str]] = {
        "thin_provisioning": "true",
        "max_over_subscription_ratio": "3",
        "pools": "a:10,b:20",
    }


class TestWithLocationsForAdministrators(OnFake):
    OPTIONS: ClassVar[dict[str, str]] = {"admin_only_export_locations": "true"}


class TestWithoutServers(OnFake):
    OPTIONS: ClassVar[dict[str, str]] = {"driver_handles_share_servers": "false"}


# --- its own semantics ----------------------------------------------------------------------------


@pytest.fixture
def scene() -> Scene:
    return make_scene()


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


@pytest.fixture
def driver(tmp_path: Path, plan: Path) -> FakeDriver:
    return FakeDriver("fake", {"state_file": str(tmp_path / "state.json"), "fault_plan": str(plan)})


def test_paths_look_like_those_of_the_linux_driver(driver: FakeDriver, scene: Scene) -> None:
    driver.setup_server("server-1", scene.server.network_info)
    first, second = (entry.network_allocations[0].ip_address for entry in scene.server.network_info)
    assert driver.create_share(scene.share, scene.server) == [
        ExportLocation(path=f"{first}:/shares/instance-1", ip_version=4, preferred=True),
        ExportLocation(path=f"[{second}]:/shares/instance-1", ip_version=6, preferred=True),
    ]
    updates = driver.update_share_server_network_allocations(
        scene.update, {}, [scene.share], []
    ).share_updates
    third = scene.update.added[0].network_allocations[0].ip_address
    assert (updates["instance-1"].export_locations or [])[2:] == [
        ExportLocation(path=f"{third}:/shares/instance-1", ip_version=4)
    ]


def test_pools_fill_and_empty(scene: Scene) -> None:
    driver = FakeDriver("fake", {"pools": "fake:10, other:5"})
    scene.make(driver)
    driver.extend_share(scene.share, 8, scene.server)
    assert {
        pool.pool_name: (pool.total_capacity_gb, pool.free_capacity_gb)
        for pool in driver.get_pools()
    } == {"fake": (10, 2), "other": (5, 5)}
    with pytest.raises(NoSpace, match=r"has 2 GiB left, 3 GiB are needed"):
        driver.extend_share(scene.share, 11, scene.server)
    with pytest.raises(NoSpace, match=r"has 2 GiB left, 3 GiB are needed"):
        driver.create_share(msgspec.structs.replace(scene.share, id="i2", size=3), scene.server)
    with pytest.raises(Refused, match="no pool 'nowhere'"):
        driver.create_share(
            msgspec.structs.replace(scene.share, id="i2", pool="nowhere"), scene.server
        )
    driver.delete_share(scene.share, scene.server)
    assert driver.get_pools()[0].free_capacity_gb == 10


def test_thin_pools_count_what_is_used(scene: Scene) -> None:
    driver = FakeDriver(
        "fake",
        {
            "pools": "fake:10",
            "thin_provisioning": "true",
            "max_over_subscription_ratio": "2",
            "reserved_percentage": "5",
        },
    )
    scene.make(driver)
    driver.extend_share(scene.share, 20, scene.server)
    driver.set_used_bytes("instance-1", 4 * GIB)
    pool = driver.get_pools()[0]
    assert (
        pool.free_capacity_gb,
        pool.thin_provisioning,
        pool.max_over_subscription_ratio,
        pool.reserved_percentage,
    ) == (6, True, 2.0, 5)
    with pytest.raises(NoSpace):
        driver.extend_share(scene.share, 21, scene.server)


def test_a_refused_shrink_names_both_numbers(driver: FakeDriver, scene: Scene) -> None:
    scene.make(driver)
    driver.extend_share(scene.share, 5, scene.server)
    driver.set_used_bytes("instance-1", int(2.5 * GIB))
    with pytest.raises(Refused, match=r"holds 2\.50 GiB, so it cannot shrink to 2 GiB"):
        driver.shrink_share(scene.share, 2, scene.server)
    assert driver.world()["shares"]["instance-1"]["size"] == 5


def test_a_server_for_one_subnet_refuses_two(scene: Scene) -> None:
    driver = FakeDriver("fake", {MULTIPLE: "false"})
    with pytest.raises(Refused, match="one subnet only"):
        driver.setup_server("server-1", scene.server.network_info)
    driver.ensure_server(scene.server, [])  # grown by an update, it comes back with all of them
    assert len(driver.world()["servers"]["server-1"]["network_info"]) == 2


def test_families_that_are_not_served(scene: Scene) -> None:
    driver = FakeDriver("fake", {"ipv6_support": "false"})
    with pytest.raises(Refused, match="does not serve IPv6"):
        driver.setup_server("server-1", scene.server.network_info)
    driver.setup_server("server-1", scene.server.network_info[:1])
    driver.create_share(scene.share, scene.server)
    update = NetworkInfoUpdate(
        current=scene.server.network_info[:1], added=scene.server.network_info[1:]
    )
    with pytest.raises(Refused, match="does not serve IPv6"):
        driver.check_update_share_server_network_allocations(update, {}, [], [])
    rule = AccessRule(id="r", access_type="ip", access_to="fd00::/64", access_level="rw")
    assert driver.update_access(scene.share, [rule], scene.server) == {
        "r": "This back end does not serve IPv6."
    }


def test_updates_are_not_for_drivers_without_the_capability(scene: Scene) -> None:
    driver = FakeDriver("fake", {UPDATE: "false"})
    scene.make(driver)
    for method in (
        "check_update_share_server_network_allocations",
        "update_share_server_network_allocations",
    ):
        with pytest.raises(Refused, match=UPDATE):
            scene.call(driver, method)


@pytest.mark.parametrize(
    "method",
    [
        "check_update_share_server_network_allocations",
        "update_share_server_network_allocations",
        "create_share",
    ],
)
def test_what_needs_a_server_is_refused_without_it(
    driver: FakeDriver, scene: Scene, method: str
) -> None:
    with pytest.raises(Refused, match="no share server server-1"):
        scene.call(driver, method)
    assert not any(driver.world().values())


@pytest.mark.parametrize(
    "method",
    ["extend_share", "shrink_share", "update_access", "update_share_server_network_allocations"],
)
def test_what_needs_a_share_is_refused_without_it(
    driver: FakeDriver, scene: Scene, method: str
) -> None:
    scene.call(driver, "setup_server")
    before = driver.world()
    with pytest.raises(Refused, match="no share instance-1"):
        scene.call(driver, method)
    assert driver.world() == before


def test_ensuring_sets_a_size_unless_it_is_being_changed(driver: FakeDriver, scene: Scene) -> None:
    scene.make(driver)
    driver.extend_share(scene.share, 5, scene.server)
    for is_resizing, size in ((True, 5), (False, 1)):
        driver.ensure_server(
            scene.server, [msgspec.structs.replace(scene.share, is_resizing=is_resizing)]
        )
        assert driver.world()["shares"]["instance-1"]["size"] == size


def test_every_subnet_needs_its_addresses(scene: Scene) -> None:
    with pytest.raises(Refused, match=r"2 addresses are needed on 10\.100\.0\.0/24, 1 were given"):
        FakeDriver("fake", {"network_allocations_number": "2"}).setup_server(
            "server-1", scene.server.network_info
        )


def test_a_removed_subnet_goes_and_the_rest_keeps_its_order(
    driver: FakeDriver, scene: Scene
) -> None:
    scene.make(driver)
    update = NetworkInfoUpdate(
        current=scene.server.network_info[1:],
        added=scene.update.added,
        removed=scene.server.network_info[:1],
    )
    driver.update_share_server_network_allocations(update, {}, [], [])
    held = driver.world()["servers"]["server-1"]["network_info"]
    kept = [scene.server.network_info[1], scene.update.added[0]]
    assert [entry["share_network_subnet_id"] for entry in held] == [
        entry.share_network_subnet_id for entry in kept
    ]


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        (SecurityService(id="s", type="ldap", server="ldap.example.org"), None),
        (SecurityService(id="s", type="ldap", dns_ip="10.0.0.2"), None),
        (
            SecurityService(
                id="s", type="active_directory", dns_ip="10.0.0.2", domain="example.org"
            ),
            None,
        ),
        (SecurityService(id="s", type="kerberos", server="kdc", domain="EXAMPLE.ORG"), None),
        (SecurityService(id="s", type="nis", server="x"), "type nis are not known"),
        (SecurityService(id="s", type="ldap"), "needs a server or a dns_ip"),
        (SecurityService(id="s", type="kerberos", server="kdc"), "needs a domain"),
    ],
)
def test_security_services_are_judged_and_kept(
    driver: FakeDriver, scene: Scene, service: SecurityService, reason: str | None
) -> None:
    info = [
        msgspec.structs.replace(entry, security_services=[service])
        for entry in scene.server.network_info
    ]
    if reason is None:
        driver.setup_server("server-1", info)
        assert driver.world()["servers"]["server-1"]["security_services"] == [
            msgspec.to_builtins(service)
        ]
        return
    with pytest.raises(Refused, match=reason):
        driver.setup_server("server-1", info)
    assert driver.world()["servers"] == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (MULTIPLE, "maybe"),
        ("pools", "fake"),
        ("pools", "fake:many"),
        ("network_allocations_number", "0"),
        ("delay_ms", "soon"),
        ("thin_provisioning", "2"),
    ],
)
def test_senseless_options_are_named(name: str, value: str) -> None:
    with pytest.raises(
        Unavailable, match=f"option {name} of the fake back end cannot be '{value}'"
    ):
        FakeDriver("fake", {name: value})


@pytest.mark.parametrize(
    "name",
    ["share_server_multipel_subnet_support", "delay_make_coffee_ms", "delays", "capabilities"],
)
def test_unknown_options_are_named(name: str) -> None:
    with pytest.raises(Unavailable, match=f"has no option {name}"):
        FakeDriver("fake", {name: "true", "pools": "p:1"})


def test_delays(scene: Scene) -> None:
    assert FakeDriver(
        "fake", {"delay_ms": "250", "delay_setup_server_ms": "10"}
    ).options.delays == {"*": 0.25, "setup_server": 0.01}
    driver = FakeDriver("fake", {"delay_create_share_ms": "300"})
    driver.setup_server("server-1", scene.server.network_info)
    done = threading.Event()

    def create() -> None:
        driver.create_share(scene.share, scene.server)
        done.set()

    creation = threading.Thread(target=create)
    creation.start()
    driver.get_pools()
    assert not done.is_set(), "a slow call holds nobody up, and is slow"
    assert done.wait(10)
    creation.join()


# --- the state file -------------------------------------------------------------------------------


def test_another_instance_finds_the_world_and_sees_changes(
    driver: FakeDriver, scene: Scene, tmp_path: Path
) -> None:
    other = FakeDriver("other", {"state_file": str(tmp_path / "state.json")})
    assert not any(other.world().values())
    scene.make(driver)
    assert other.world() == driver.world()
    other.set_used_bytes("instance-1", 7)
    assert driver.world()["shares"]["instance-1"]["used_bytes"] == 7
    assert (
        FakeDriver("third", {"state_file": str(tmp_path / "state.json")}).world() == driver.world()
    )
    assert (
        json.loads((tmp_path / "state.json").read_text())["shares"]["instance-1"]["used_bytes"] == 7
    )
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600


def _create_shares(state_file: str, prefix: str, server: ShareServer) -> None:
    driver = FakeDriver("fake", {"state_file": state_file})
    for number in range(25):
        share = Share(id=f"{prefix}{number}", share_id="s", size=1, share_proto="NFS", pool="fake")
        driver.create_share(share, server)


def test_processes_do_not_lose_each_others_changes(
    driver: FakeDriver, scene: Scene, tmp_path: Path
) -> None:
    driver.setup_server("server-1", scene.server.network_info)
    spawn = multiprocessing.get_context("spawn")
    writers = [
        spawn.Process(
            target=_create_shares, args=(str(tmp_path / "state.json"), prefix, scene.server)
        )
        for prefix in "ab"
    ]
    for writer in writers:
        writer.start()
    _create_shares(str(tmp_path / "state.json"), "c", scene.server)
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(driver.world()["shares"]) == 75


def test_connected_clients_are_those_that_a_test_sets_and_no_more_than_the_most(
    driver: FakeDriver, scene: Scene
) -> None:
    scene.make(driver)
    clients = [
        Client(
            address=f"10.100.{number // 200}.{number % 200}",
            server_address="10.100.0.16",
            protocol="NFS",
        )
        for number in range(MOST_CLIENTS + 1)
    ]
    driver.set_clients(scene.server.id, clients[:-1])
    driver.ensure_server(scene.server, [scene.share])
    assert driver.get_clients(scene.server) == Clients(listed=clients[:-1])
    driver.set_clients(scene.server.id, clients)
    assert driver.get_clients(scene.server) == Clients(listed=clients[:-1], is_complete=False)


def test_threads_do_not_oversell_a_pool(scene: Scene, tmp_path: Path) -> None:
    driver = FakeDriver("fake", {"pools": "fake:20", "state_file": str(tmp_path / "state.json")})
    driver.setup_server("server-1", scene.server.network_info)

    def create(number: int) -> bool:
        try:
            driver.create_share(msgspec.structs.replace(scene.share, id=f"i{number}"), scene.server)
        except NoSpace:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(40))) == 20
    assert driver.get_pools()[0].free_capacity_gb == 0
