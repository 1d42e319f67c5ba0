"""The tests of the suite, by parts of the interface, except those of snapshots. How to use it: see
the package."""

from __future__ import annotations

import ipaddress
import re
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec
import pytest

from abaca.drivers.capabilities import Capabilities
from abaca.drivers.conformance.backups import BackupConformance
from abaca.drivers.conformance.clients import ClientConformance
from abaca.drivers.conformance.drains import DrainConformance
from abaca.drivers.conformance.duplicates import DuplicateConformance
from abaca.drivers.conformance.export_choices import ExportChoiceConformance
from abaca.drivers.conformance.mount_point_names import MountPointNameConformance
from abaca.drivers.conformance.removals import RemovalConformance
from abaca.drivers.conformance.security_services import SecurityServiceConformance
from abaca.drivers.conformance.snapshots import SnapshotConformance
from abaca.drivers.conformance.stage import (
    Networks,
    Stage,
    address_of,
    addresses,
    after,
    apply,
    as_kept,
    assert_well_formed,
    client_on,
    forgotten,
    growing,
    need,
    rule,
    shown,
    twice,
)
from abaca.drivers.conformance.without_servers import WithoutServersConformance
from abaca.drivers.data import MemoryDriverData
from abaca.drivers.interface import ShareDriver
from abaca.errors import BackendError, NoSpace, Refused
from abaca.plugin_options import Option
from abaca.values import (
    ExportLocation,
    Finding,
    ManagedServer,
    ManagedShare,
    NetworkInfoUpdate,
    PoolStats,
    ShareServer,
)

DEATH_SECONDS = 10.0
USAGE_SECONDS = 60.0
GIB = 2**30


class DriverConformance(
    ClientConformance,
    RemovalConformance,
    SnapshotConformance,
    SecurityServiceConformance,
    DrainConformance,
    DuplicateConformance,
    ExportChoiceConformance,
    MountPointNameConformance,
    BackupConformance,
    WithoutServersConformance,
):
    """Override `driver`, and what else your back end needs or can show."""

    @pytest.fixture
    def driver(self) -> ShareDriver:
        """The driver under test, ready: `check_for_setup_error` is called by the suite."""
        raise pytest.UsageError(f"{type(self).__name__} does not define the fixture 'driver'")

    @pytest.fixture(autouse=True)
    def _data(self, driver: ShareDriver) -> None:
        driver.data = MemoryDriverData()

    @pytest.fixture
    def networks(self, driver: ShareDriver) -> Networks:
        return Networks(driver.get_network_allocations_number())

    @pytest.fixture
    def stage(self, driver: ShareDriver, networks: Networks) -> Iterator[Stage]:
        driver.check_for_setup_error()
        stage = Stage(driver, networks)
        yield stage
        stage.clear()

    # --- the back end -----------------------------------------------------------------------------

    def test_it_declares_what_it_can_do(self, driver: ShareDriver) -> None:
        assert isinstance(driver.capabilities, Capabilities)
        assert driver.capabilities.storage_protocols
        assert driver.capabilities.ipv4_support or driver.capabilities.ipv6_support
        assert driver.get_network_allocations_number() >= 1

    def test_it_can_be_prepared_again(self, driver: ShareDriver) -> None:
        twice(driver.check_for_setup_error)

    def test_pools_report_capacities_and_capabilities(self, stage: Stage) -> None:
        pools = stage.driver.get_pools()
        assert pools
        assert len({pool.pool_name for pool in pools}) == len(pools)
        for pool in pools:
            assert isinstance(pool, PoolStats)
            assert 0 <= pool.free_capacity_gb <= pool.total_capacity_gb
            assert 0 <= pool.reserved_percentage <= 100
            assert pool.max_over_subscription_ratio >= 1
            declared = stage.driver.capabilities.as_pool_capabilities()
            assert {name: pool.capabilities.get(name) for name in declared} == declared

    def test_each_option_says_what_it_is(self, driver: ShareDriver) -> None:
        for name, option in driver.OPTIONS.items():
            assert isinstance(option, Option), name
            assert re.fullmatch(r"[a-z][a-z0-9_]*", name), (
                f"{name}: small letters, digits and _ only"
            )
            assert (
                len(option.help) > 20
                and option.help.endswith(".")
                and not option.help.startswith("See ")
            ), f"{name}: {option.help}"
        assert not driver.OPTIONS.keys() & {"share_driver", "availability_zone"}, (
            "these are the service's own"
        )

    # --- share servers ----------------------------------------------------------------------------

    def test_answers_are_kept_as_they_are(self, stage: Stage) -> None:
        """The service stores them as JSON and reads them as the interface annotates them, whatever
        the driver's own annotations say."""
        driver, described = stage.driver, stage.described()
        details = driver.setup_server(described.id, described.network_info)
        server = stage.now(msgspec.structs.replace(described, backend_details=details))
        share = stage.new_share(server)
        locations = driver.create_share(share, server)
        refused = driver.update_access(share, [rule("somebody", "cephx")], server)
        answers: dict[str, object] = {
            "setup_server": details,
            "create_share": locations,
            "update_access": refused,
        }
        answers |= {"get_pools": driver.get_pools(), "unserved": driver.unserved([server.id])}
        if driver.capabilities.network_allocation_update_support:
            share = msgspec.structs.replace(share, export_locations=locations)
            update = NetworkInfoUpdate(
                current=server.network_info,
                added=[stage.networks.entry(server.id, 1, stage.families[0])],
            )
            check = driver.check_update_share_server_network_allocations(
                update, details, [share], []
            )
            answers["check_update_share_server_network_allocations"] = check
            answers["update_share_server_network_allocations"] = apply(
                stage, server, [share], update
            )
        for method, answer in answers.items():
            assert as_kept(method, answer) == answer, method

    def test_a_server_is_set_up_again(self, stage: Stage) -> None:
        server = stage.described()
        details = twice(lambda: stage.driver.setup_server(server.id, server.network_info))
        assert all(
            isinstance(key, str) and isinstance(value, str) for key, value in details.items()
        )

    def test_a_server_on_several_subnets(self, stage: Stage) -> None:
        need(
            stage.driver.capabilities.share_server_multiple_subnet_support,
            "share_server_multiple_subnet_support",
        )
        server = stage.server(
            *((network, version) for network in (0, 1) for version in stage.families)
        )
        assert_well_formed(stage.share(server).export_locations, server)

    def test_nothing_lacks_on_the_way_to_a_server_that_was_set_up(self, stage: Stage) -> None:
        """What is told of it, if anything is."""
        server = stage.server_on_all_families()
        share = stage.share(server)
        for info in server.network_info:
            found = [
                *stage.driver.network_findings(info),
                *stage.driver.export_findings(share, info),
            ]
            assert all(isinstance(each, Finding) and each.what for each in found)
            assert [each for each in found if each.lack] == []

    def test_teardown_of_what_is_not_there(self, driver: ShareDriver) -> None:
        driver.check_for_setup_error()
        twice(lambda: driver.teardown_server(str(uuid.uuid4()), {}))

    def test_teardown_again_and_without_details(self, stage: Stage) -> None:
        server = stage.server_on_all_families()
        twice(lambda: stage.driver.teardown_server(server.id, {}))
        assert stage.driver.setup_server(server.id, server.network_info) == server.backend_details

    def test_teardown_of_a_half_made_server(self, stage: Stage) -> None:
        """One that got no address on its second subnet, whatever the driver makes of that.
        Afterwards the same server can be made."""
        server = stage.described((0, stage.families[0]), (1, stage.families[-1]))
        unaddressed = msgspec.structs.replace(server.network_info[1], network_allocations=[])
        with suppress(BackendError):
            stage.driver.setup_server(server.id, [server.network_info[0], unaddressed])
        twice(lambda: stage.driver.teardown_server(server.id, {}))
        stage.driver.setup_server(server.id, server.network_info[:1])

    def test_servers_are_made_side_by_side(self, stage: Stage) -> None:
        servers = [stage.described() for _ in range(3)]

        def make(server: ShareServer) -> list[ExportLocation]:
            stage.driver.setup_server(server.id, server.network_info)
            return stage.share(server).export_locations

        with ThreadPoolExecutor(len(servers)) as threads:
            for server, locations in zip(servers, threads.map(make, servers), strict=True):
                assert_well_formed(locations, server)

    def test_a_healthy_server_is_ensured(self, stage: Stage) -> None:
        server = stage.server_on_all_families()
        share = stage.share(server)
        twice(lambda: stage.driver.ensure_server(server, [share]))
        stage.driver.ensure_server(forgotten(server), [share])
        assert stage.driver.create_share(share, server) == share.export_locations

    def test_a_server_that_was_never_made_is_ensured(self, stage: Stage) -> None:
        server = stage.described()
        twice(lambda: stage.driver.ensure_server(server, []))
        assert_well_formed(stage.share(server).export_locations, server)

    def test_a_lost_server_is_ensured(self, stage: Stage) -> None:
        server = stage.server_on_all_families()
        share = stage.share(server)
        stage.exchange(self.lose_everything(stage.driver))
        stage.driver.check_for_setup_error()
        client = client_on(server.network_info[0])
        twice(
            lambda: stage.driver.ensure_server(
                forgotten(server), [msgspec.structs.replace(share, access_rules=[rule(client)])]
            )
        )
        location, entry = shown(share.export_locations)[0], server.network_info[0]
        assert self.can_read(stage.driver, location, client, entry)
        assert not self.can_read(stage.driver, location, client_on(entry, 2), entry)
        assert stage.driver.create_share(share, server) == share.export_locations

    def stop_serving(self, driver: ShareDriver, server: ShareServer) -> None:
        """Have the file server of a share server die by itself."""
        pytest.skip("the driver's author gives no way to have a server stop serving")

    def test_servers_that_serve_are_not_named(self, stage: Stage) -> None:
        server = stage.server_on_all_families()
        stage.share(server)
        assert twice(lambda: stage.driver.unserved([server.id])) == []
        assert stage.driver.unserved([]) == []

    def test_a_server_that_stops_serving_is_named_until_it_is_ensured(self, stage: Stage) -> None:
        server, other = stage.server(), stage.server()
        share = stage.share(server)
        self.stop_serving(stage.driver, server)
        assert twice(lambda: stage.driver.unserved([other.id, server.id])) == [server.id]
        client, entry = client_on(server.network_info[0]), server.network_info[0]
        twice(
            lambda: stage.driver.ensure_server(
                server, [msgspec.structs.replace(share, access_rules=[rule(client)])]
            )
        )
        assert stage.driver.unserved([other.id, server.id]) == []
        assert self.can_read(stage.driver, shown(share.export_locations)[0], client, entry)

    def test_a_death_is_told_once_and_the_server_restarted_as_it_was(self, stage: Stage) -> None:
        need(
            type(stage.driver).wait_for_deaths is not ShareDriver.wait_for_deaths,
            "notice of deaths",
        )
        server, other = stage.server(), stage.server()
        share = stage.share(server)
        client, entry = client_on(server.network_info[0]), server.network_info[0]
        stage.driver.update_access(share, [rule(client)], server)
        stage.driver.wait_for_deaths(0)  # of servers that other tests let die
        assert stage.driver.wait_for_deaths(0) == []
        self.stop_serving(stage.driver, server)
        assert stage.driver.wait_for_deaths(DEATH_SECONDS) == [server.id]
        assert stage.driver.wait_for_deaths(0) == []
        assert stage.driver.restart_server(server.id)
        assert not stage.driver.restart_server(server.id), "it serves"
        assert not stage.driver.restart_server(other.id)
        assert stage.driver.unserved([other.id, server.id]) == []
        assert self.can_read(stage.driver, shown(share.export_locations)[0], client, entry)
        self.stop_serving(stage.driver, server)
        assert stage.driver.wait_for_deaths(DEATH_SECONDS) == [server.id], (
            "the next death is another one"
        )

    def test_an_end_that_was_asked_for_is_no_death(self, stage: Stage) -> None:
        server = stage.server()
        stage.driver.teardown_server(server.id, server.backend_details)
        assert server.id not in stage.driver.wait_for_deaths(0.2)
        assert not stage.driver.restart_server(server.id), "nothing stands that could be started"

    def test_ensuring_brings_a_missing_subnet(self, stage: Stage) -> None:
        abilities = stage.driver.capabilities
        need(
            abilities.share_server_multiple_subnet_support
            or abilities.network_allocation_update_support,
            "several subnets",
        )
        server = stage.server()
        share = stage.share(server)
        grown = msgspec.structs.replace(
            server,
            network_info=[
                *server.network_info,
                stage.networks.entry(server.id, 1, stage.families[-1]),
            ],
        )
        twice(lambda: stage.driver.ensure_server(stage.now(grown), [share]))
        locations = stage.driver.create_share(share, grown)
        assert shown(locations)[: len(shown(share.export_locations))] == shown(
            share.export_locations
        )
        assert_well_formed(locations, grown)

    # --- servers that come and go without being made and deleted ----------------------------------

    def test_a_server_is_let_go_and_taken_over_again(self, stage: Stage) -> None:
        """By a back end that does that at all. Nothing of it changes, and clients read on."""
        server = stage.server_on_all_families()
        share = stage.share(server)
        stage.driver.update_access(share, [rule(client_on(server.network_info[0]))], server)
        try:
            twice(lambda: stage.driver.unmanage_server(server.id, server.backend_details))
        except Refused as refusal:
            pytest.skip(refusal.message)
        found = twice(lambda: stage.driver.manage_server(server.id, server.id, {}))
        assert found == ManagedServer(
            ip_addresses=addresses(server), backend_details=server.backend_details
        )
        assert stage.driver.create_share(share, server) == share.export_locations
        assert self.can_read(
            stage.driver,
            shown(share.export_locations)[0],
            client_on(server.network_info[0]),
            server.network_info[0],
        )
        with pytest.raises(Refused):
            stage.driver.manage_server(str(uuid.uuid4()), "nothing-of-the-kind", {})

    def test_a_share_is_let_go_and_taken_over_again(self, stage: Stage) -> None:
        """By a back end that does that at all. It has the size and the paths that it had."""
        server = stage.server_on_all_families()
        share = stage.share(server, size=2)
        try:
            twice(lambda: stage.driver.unmanage_share(share, server))
        except Refused as refusal:
            pytest.skip(refusal.message)
        path, bare = (
            shown(share.export_locations)[0].path,
            msgspec.structs.replace(share, size=0, export_locations=[]),
        )
        found = twice(lambda: stage.driver.manage_share(bare, path, server, {}))
        assert found == ManagedShare(size=2, export_locations=share.export_locations)
        fresh = stage.new_share(server, size=0)
        for wrong, other in ((f"{path}-not", server), (path, stage.server())):
            with pytest.raises(Refused):
                stage.driver.manage_share(fresh, wrong, other, {})

    # --- changing networks ------------------------------------------------------------------------

    @pytest.mark.parametrize("known", [True, False], ids=["with details", "without details"])
    def test_a_check_allows_and_changes_nothing(self, stage: Stage, known: bool) -> None:
        server, share, update = growing(stage)
        asked = msgspec.structs.replace(
            update,
            added=[
                msgspec.structs.replace(entry, network_allocations=[]) for entry in update.added
            ],
        )
        details = server.backend_details if known else {}
        assert (
            twice(
                lambda: stage.driver.check_update_share_server_network_allocations(
                    asked, details, [share], []
                )
            )
            is True
        )
        assert stage.driver.create_share(share, server) == share.export_locations

    @pytest.mark.parametrize(
        "added", ["same subnet", "another network", "other families", "several"]
    )
    def test_added_subnets_come_after_the_old_ones(self, stage: Stage, added: str) -> None:
        choices: dict[str, list[tuple[int, ...]]] = {
            "same subnet": [(0, stage.families[0], 1)],
            "another network": [(1, stage.families[0])],
            "other families": [(0, version) for version in stage.families[1:]],
            "several": [(network, version) for network in (1, 2) for version in stage.families],
        }
        subnets = choices[added]
        need(bool(subnets), "a second IP family")
        server, share, update = growing(stage, *subnets)
        answer = apply(stage, server, [share], update)
        grown = stage.now(after(server, update, answer))
        locations = answer.share_updates[share.id].export_locations
        assert locations is not None
        assert shown(locations)[: len(shown(share.export_locations))] == shown(
            share.export_locations
        )
        assert_well_formed(locations, grown)
        assert stage.driver.create_share(share, grown) == locations
        assert_well_formed(stage.share(grown).export_locations, grown)

    def test_an_update_whose_answer_was_lost(self, stage: Stage) -> None:
        server, share, update = growing(stage)
        first = apply(stage, server, [share], update)
        stage.now(after(server, update, first))
        assert (
            stage.driver.update_share_server_network_allocations(update, {}, [share], []) == first
        )

    def test_an_update_of_several_shares_and_of_none(self, stage: Stage) -> None:
        server, share, update = growing(stage)
        other = stage.share(server)
        assert set(apply(stage, server, [share, other], update).share_updates) == {
            share.id,
            other.id,
        }
        bare = stage.server()
        addition = NetworkInfoUpdate(
            current=bare.network_info, added=[stage.networks.entry(bare.id, 1, stage.families[0])]
        )
        assert apply(stage, bare, [], addition).share_updates == {}

    def test_clients_read_over_old_and_new_subnets(self, stage: Stage) -> None:
        server, share, update = growing(
            stage, *[(network, version) for network in (0, 1) for version in stage.families][1:]
        )
        entries = [*update.current, *update.added]
        stage.driver.update_access(share, [rule(client_on(entry)) for entry in entries], server)
        assert self.can_read(
            stage.driver, shown(share.export_locations)[0], client_on(entries[0]), entries[0]
        )
        locations = (
            apply(stage, server, [share], update).share_updates[share.id].export_locations or []
        )
        by_address = {address_of(location): location for location in shown(locations)}
        for entry in entries:
            for allocation in entry.network_allocations:
                assert self.can_read(
                    stage.driver, by_address[allocation.ip_address], client_on(entry), entry
                ), allocation.ip_address

    # --- shares -----------------------------------------------------------------------------------

    def test_a_share_has_a_location_for_each_address(self, stage: Stage) -> None:
        server = stage.server_on_all_families()
        share = stage.new_share(server)
        assert_well_formed(twice(lambda: stage.driver.create_share(share, server)), server)
        assert stage.driver.create_share(share, forgotten(server)) == stage.driver.create_share(
            share, server
        )

    def test_shares_of_one_server_have_different_paths(self, stage: Stage) -> None:
        server = stage.server()
        paths = [
            location.path
            for _ in range(2)
            for location in shown(stage.share(server).export_locations)
        ]
        assert len(set(paths)) == 2 * len(addresses(server))

    def test_a_share_on_an_unknown_server_fails(self, stage: Stage) -> None:
        server = stage.described()
        with pytest.raises(BackendError):
            stage.driver.create_share(stage.new_share(server), server)

    def test_a_share_without_a_server_is_refused_where_shares_stand_on_servers(
        self, stage: Stage
    ) -> None:
        need(stage.driver.capabilities.driver_handles_share_servers, "share servers")
        server = stage.server()
        with pytest.raises(Refused, match="server"):
            stage.driver.create_share(stage.new_share(server), None)

    def test_a_share_without_room_is_no_space(self, stage: Stage) -> None:
        server = stage.server()
        pool = stage.driver.get_pools()[0]
        # What is kept for servers to come may be left out of what a pool reports.
        share = stage.new_share(
            server, size=int(pool.total_capacity_gb * pool.max_over_subscription_ratio) + 2
        )
        for _ in range(2):
            with pytest.raises(NoSpace):
                stage.driver.create_share(share, server)
        assert_well_formed(
            stage.driver.create_share(msgspec.structs.replace(share, size=1), server), server
        )

    def test_a_share_is_deleted_again_and_without_its_server(self, stage: Stage) -> None:
        server = stage.server()
        share, other = stage.share(server), stage.share(server)
        twice(lambda: stage.driver.delete_share(share, server))
        stage.driver.delete_share(stage.new_share(server), forgotten(server))
        stage.driver.teardown_server(server.id, {})
        twice(lambda: stage.driver.delete_share(other, forgotten(server)))

    def test_a_share_is_extended_and_shrunk_again(self, stage: Stage) -> None:
        server = stage.server()
        share = stage.share(server)
        for change, size in ((stage.driver.extend_share, 2), (stage.driver.shrink_share, 1)):
            change(share, size, server)
            change(share, size, forgotten(server))
        assert stage.driver.create_share(share, server) == share.export_locations

    def test_shrinking_below_what_a_share_holds_is_refused(self, stage: Stage) -> None:
        server = stage.server()
        share = stage.share(server, size=3)
        self.fill_share(stage.driver, share, server, gib=2)
        with pytest.raises(Refused) as refusal:
            stage.driver.shrink_share(share, 1, server)
        assert len(re.findall(r"\d+(?:\.\d+)?", refusal.value.message)) >= 2, (
            "what it holds and what was asked for"
        )
        stage.driver.shrink_share(share, 3, server)

    def test_it_tells_what_its_shares_hold(self, stage: Stage) -> None:
        server = stage.server()
        share, other = stage.share(server, size=3), stage.share(server)
        told = stage.driver.used_bytes()
        if told is None:
            pytest.skip("This driver does not tell what its shares hold.")
        assert {share.id, other.id} <= told.keys() and max(told[share.id], told[other.id]) < GIB
        self.fill_share(stage.driver, share, server, gib=2)
        deadline = time.monotonic() + USAGE_SECONDS
        while (
            held := (stage.driver.used_bytes() or {}).get(share.id, 0)
        ) < 2 * GIB and time.monotonic() < deadline:
            time.sleep(0.2)
        assert 2 * GIB <= held <= 3 * GIB
        assert (stage.driver.used_bytes() or {})[other.id] < GIB
        stage.driver.delete_share(other, server)
        assert other.id not in (stage.driver.used_bytes() or {})

    # --- access rules -----------------------------------------------------------------------------

    def test_rules_that_can_be_enforced(self, stage: Stage) -> None:
        server = stage.server_on_all_families()
        share = stage.share(server)
        rules = [
            rule(client_on(entry), access_level=level)
            for entry in server.network_info
            for level in ("rw",)
        ]
        rules += [rule(entry.subnet.cidr, access_level="ro") for entry in server.network_info]
        assert twice(lambda: stage.driver.update_access(share, rules, server)) == {}
        assert stage.driver.update_access(share, rules[:1], forgotten(server)) == {}
        assert twice(lambda: stage.driver.update_access(share, [], server)) == {}

    def test_rules_that_cannot_be_enforced_are_told_with_a_reason(self, stage: Stage) -> None:
        server = stage.server()
        share = stage.share(server)
        good, unknown, senseless = (
            rule(client_on(server.network_info[0])),
            rule("somebody", "cephx"),
            rule("10.0.0.300"),
        )
        result = twice(
            lambda: stage.driver.update_access(share, [unknown, good, senseless], server)
        )
        assert set(result) == {unknown.id, senseless.id}
        assert all(result.values())

    @pytest.mark.parametrize("version", [4, 6])
    def test_every_prefix_is_enforced_or_told(self, stage: Stage, version: int) -> None:
        server = stage.server()
        share = stage.share(server)
        within, lengths = (
            ("10.128.0.0", (0, 1, 8, 9, 23, 24, 31, 32))
            if version == 4
            else ("fd00:abac::", (0, 1, 7, 48, 63, 64, 127, 128))
        )
        rules = [
            rule(str(ipaddress.ip_network(f"{within}/{length}", strict=False)))
            for length in lengths
        ]
        result = stage.driver.update_access(share, rules, server)
        assert set(result) <= {each.id for each in rules}
        assert all(result.values())
        if version not in stage.families:
            assert set(result) == {each.id for each in rules}

    def test_only_clients_with_a_rule_read(self, stage: Stage) -> None:
        server = stage.server_on_all_families()
        share = stage.share(server)
        for entry in server.network_info:
            location = next(
                each
                for each in shown(share.export_locations)
                if address_of(each) == entry.network_allocations[0].ip_address
            )
            client, stranger = client_on(entry), client_on(entry, 2)
            for rules, readers in (
                ([], []),
                ([rule(client)], [client]),
                ([rule(entry.subnet.cidr)], [client, stranger]),
                ([], []),
            ):
                stage.driver.update_access(share, rules, server)
                assert [
                    who
                    for who in (client, stranger)
                    if self.can_read(stage.driver, location, who, entry)
                ] == readers
