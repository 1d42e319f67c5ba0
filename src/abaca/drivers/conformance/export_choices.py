"""The tests of the suite about shares that are exported on chosen subnets of their server. They are
part of `DriverConformance`."""

from __future__ import annotations

import msgspec
import pytest

from abaca.drivers.conformance.stage import (
    Stage,
    apply,
    assert_well_formed,
    need,
    rule,
    twice,
)
from abaca.errors import BackendError
from abaca.values import ExportChoice, NetworkInfoUpdate, Share, ShareServer


class ExportChoiceConformance:
    """What a driver with `export_subnets_support` must do. That others are really kept out is for
    its own tests."""

    def test_a_share_is_reached_on_the_chosen_subnets_only(self, stage: Stage) -> None:
        server = on_two_subnets(stage)
        for number in (0, 1):
            share = chosen(stage.new_share(server), on(server, number))
            locations = twice(lambda share=share: stage.driver.create_share(share, server))  # type: ignore[misc]
            assert_well_formed(locations, only(server, number))
            assert stage.driver.export_locations(share, server) == locations

    def test_a_choice_may_change_at_any_time(self, stage: Stage) -> None:
        server = on_two_subnets(stage)
        share = stage.share(server)
        for choice, numbers in ((on(server, 1), [1]), (on(server, 0), [0]), (free(), [0, 1])):
            share = chosen(share, choice)
            rules = [rule(entry.subnet.cidr) for entry in only(server, *numbers).network_info]
            assert (
                twice(
                    lambda share=share, rules=rules: stage.driver.update_access(  # type: ignore[misc]
                        share, rules, server
                    )
                )
                == {}
            )
            locations = twice(lambda share=share: stage.driver.export_locations(share, server))  # type: ignore[misc]
            assert_well_formed(locations, only(server, *numbers))

    def test_a_rule_of_which_nothing_is_left_is_told(self, stage: Stage) -> None:
        server = on_two_subnets(stage)
        share = chosen(stage.share(server), on(server, 0))
        here, there = (rule(entry.subnet.cidr) for entry in server.network_info)
        everybody = rule("0.0.0.0/0" if stage.families[0] == 4 else "::/0")
        rules = [here, there, everybody]
        assert twice(lambda: stage.driver.update_access(share, rules, server)).keys() == {there.id}
        free_again = chosen(share, free())
        assert stage.driver.update_access(free_again, rules, server) == {}

    def test_clients_behind_routers_are_admitted_by_a_rule_of_their_own(self, stage: Stage) -> None:
        server = on_two_subnets(stage)
        share = chosen(stage.share(server), on(server, 0))
        routed = rule("192.0.2.0/24" if stage.families[0] == 4 else "2001:db8::/32")
        assert stage.driver.update_access(share, [routed], server) == {}

    def test_an_added_subnet_does_not_widen_a_choice(self, stage: Stage) -> None:
        need(
            stage.driver.capabilities.network_allocation_update_support,
            "network_allocation_update_support",
        )
        server = on_two_subnets(stage)
        bound = chosen(stage.share(server), on(server, 0))
        bound = msgspec.structs.replace(
            bound, export_locations=stage.driver.export_locations(bound, server)
        )
        entry = stage.networks.entry(server.id, 2, stage.families[0])
        update = NetworkInfoUpdate(current=server.network_info, added=[entry])
        answer = apply(stage, server, [bound], update).share_updates.get(bound.id)
        found = (answer and answer.export_locations) or bound.export_locations
        assert_well_formed(found, only(server, 0))
        grown = stage.now(
            msgspec.structs.replace(server, network_info=[*server.network_info, entry])
        )
        assert stage.driver.update_access(bound, [rule(entry.subnet.cidr)], grown) != {}

    def test_a_family_is_chosen_with_subnets_to_come(self, stage: Stage) -> None:
        need(len(stage.families) == 2, "both families")
        server = on_two_subnets(stage)
        choice = ExportChoice(ip_version=server.network_info[1].subnet.ip_version)
        share = chosen(stage.new_share(server), choice)
        assert_well_formed(stage.driver.create_share(share, server), only(server, 1))

    def test_mountable_snapshots_follow_their_share(self, stage: Stage) -> None:
        need(stage.driver.capabilities.mount_snapshot_support, "mount_snapshot_support")
        server = on_two_subnets(stage)
        share = stage.share(server)
        snapshot = stage.snapshot(share, server, is_mountable=True)
        moved = msgspec.structs.replace(snapshot, share=chosen(share, on(server, 1)))
        stage.driver.update_snapshot_access(moved, [], server)
        locations = twice(lambda: stage.driver.export_locations(moved, server))
        assert_well_formed(locations, only(server, 1))
        taken = stage.snapshot(moved.share, server, is_mountable=True)
        assert_well_formed(taken.export_locations, only(server, 1))

    def test_a_server_is_ensured_with_its_choices(self, stage: Stage) -> None:
        server = on_two_subnets(stage)
        share = chosen(stage.share(server), on(server, 1))
        stage.driver.ensure_server(server, [share])
        locations = stage.driver.export_locations(share, server)
        assert_well_formed(locations, only(server, 1))

    def test_a_share_is_not_made_where_nothing_is_chosen(self, stage: Stage) -> None:
        server = on_two_subnets(stage)
        share = chosen(stage.new_share(server), ExportChoice(share_network_subnet_ids=["gone"]))
        with pytest.raises(BackendError):
            stage.driver.create_share(share, server)
        stage.driver.delete_share(share, server)


def on_two_subnets(stage: Stage) -> ShareServer:
    capabilities = stage.driver.capabilities
    need(capabilities.export_subnets_support, "export_subnets_support")
    need(capabilities.share_server_multiple_subnet_support, "several subnets")
    return stage.server((0, stage.families[0]), (1, stage.families[-1]))


def free() -> ExportChoice:
    return ExportChoice()


def on(server: ShareServer, *numbers: int) -> ExportChoice:
    """The choice of these of the server's subnets."""
    ids = [server.network_info[number].share_network_subnet_id for number in numbers]
    return ExportChoice(share_network_subnet_ids=ids)


def chosen(share: Share, choice: ExportChoice) -> Share:
    return msgspec.structs.replace(share, export_choice=choice)


def only(server: ShareServer, *numbers: int) -> ShareServer:
    """The server as if it had these of its subnets only."""
    entries = [server.network_info[number] for number in numbers]
    return msgspec.structs.replace(server, network_info=entries)
