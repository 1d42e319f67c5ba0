"""The tests of the suite about subnets that are taken from a server in use. They are part of
`DriverConformance`, and are skipped for a driver that does not declare it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from abaca.drivers.conformance.snapshots import SnapshotConformance
from abaca.drivers.conformance.stage import (
    Stage,
    address_of,
    after,
    apply,
    assert_well_formed,
    client_on,
    need,
    rule,
    shown,
    twice,
)
from abaca.errors import BackendError
from abaca.values import ExportLocation, NetworkInfo, NetworkInfoUpdate, Share, ShareServer

WHICH = pytest.mark.parametrize("which", [0, 1, -1], ids=["first", "second", "last"])


class RemovalConformance(SnapshotConformance):
    """What a driver that declares share_server_subnet_removal_support must do."""

    @pytest.mark.parametrize("known", [True, False], ids=["with details", "without details"])
    def test_a_check_of_a_removal_allows_and_changes_nothing(
        self, stage: Stage, known: bool
    ) -> None:
        server, share, update = shrinking(stage, -1)
        details = server.backend_details if known else {}
        check = stage.driver.check_update_share_server_network_allocations
        assert twice(lambda: check(update, details, [share], [])) is True
        assert stage.driver.create_share(share, server) == share.export_locations

    @WHICH
    def test_the_locations_of_the_subnet_go_and_the_others_stay(
        self, stage: Stage, which: int
    ) -> None:
        server, share, update = shrinking(stage, which)
        answer = apply(stage, server, [share], update)
        left = stage.now(after(server, update, answer))
        locations = answer.share_updates[share.id].export_locations
        assert locations is not None
        assert_well_formed(locations, left)
        gone = {a.ip_address for entry in update.removed for a in entry.network_allocations}
        assert paths(locations) == [
            location.path
            for location in shown(share.export_locations)
            if address_of(location) not in gone
        ]
        assert stage.driver.create_share(share, left) == locations
        assert_well_formed(stage.share(left).export_locations, left)

    @WHICH
    def test_clients_read_on_over_what_stays_and_nothing_is_read_over_what_goes(
        self, stage: Stage, which: int
    ) -> None:
        server, share, update = shrinking(stage, which)
        self._admit_all(stage, server, share)
        assert all(self._reads(stage, share, entry) for entry in server.network_info)
        stranger = client_on(update.current[0], 2)
        apply(stage, server, [share], update)
        stage.now(msgspec.structs.replace(server, network_info=update.current))
        for entry in update.current:
            assert self._reads(stage, share, entry), entry.subnet.cidr
        assert not self.can_read(
            stage.driver, location_on(share, update.current[0]), stranger, update.current[0]
        ), "rules hold as before"
        for entry in update.removed:
            assert not self._reads(stage, share, entry), entry.subnet.cidr

    def test_a_removal_whose_answer_was_lost(self, stage: Stage) -> None:
        server, share, update = shrinking(stage, 1)
        first = apply(stage, server, [share], update)
        stage.now(after(server, update, first))
        again = stage.driver.update_share_server_network_allocations
        assert again(update, {}, [share], []) == first

    def test_a_server_without_shares_gives_a_subnet_up(self, stage: Stage) -> None:
        server, _, update = shrinking(stage, -1, bare=True)
        answer = apply(stage, server, [], update)
        assert answer.share_updates == {}
        assert_well_formed(
            stage.share(stage.now(after(server, update, answer))).export_locations,
            after(server, update, answer),
        )

    def test_a_mountable_snapshot_gives_the_subnet_up_too(self, stage: Stage) -> None:
        need(stage.driver.capabilities.mount_snapshot_support, "mount_snapshot_support")
        server, share, update = shrinking(stage, 0)
        snapshot = stage.snapshot(share, server, is_mountable=True)
        answer = stage.driver.update_share_server_network_allocations(
            update, server.backend_details, [share], [snapshot]
        )
        left = stage.now(after(server, update, answer))
        locations = answer.snapshot_updates[snapshot.id].export_locations
        assert locations is not None
        assert_well_formed(locations, left)

    def test_a_subnet_comes_back_after_its_removal(self, stage: Stage) -> None:
        """As when a removal is abandoned: the addresses may be the old ones."""
        need(
            stage.driver.capabilities.network_allocation_update_support,
            "network_allocation_update_support",
        )
        server, share, update = shrinking(stage, 0)
        self._admit_all(stage, server, share)
        answer = apply(stage, server, [share], update)
        left = stage.now(after(server, update, answer))
        less = answer.share_updates[share.id].export_locations or []
        share = msgspec.structs.replace(share, export_locations=less)
        back = NetworkInfoUpdate(current=update.current, added=update.removed)
        whole = apply(stage, left, [share], back)
        stage.now(after(left, back, whole))
        locations = whole.share_updates[share.id].export_locations or []
        assert paths(locations)[: len(paths(less))] == paths(less)
        share = msgspec.structs.replace(share, export_locations=locations)
        assert all(self._reads(stage, share, entry) for entry in server.network_info)

    @pytest.mark.parametrize("done", [True, False], ids=["removed", "not removed"])
    @pytest.mark.parametrize("whole", [True, False], ids=["to all", "to what stays"])
    def test_a_server_is_ensured_in_the_middle_of_a_removal(
        self, stage: Stage, done: bool, whole: bool
    ) -> None:
        """A crash cuts a removal off, and the worker starts again; or it failed, and waits."""
        server, share, update = shrinking(stage, 1)
        share = self._admit_all(stage, server, share)
        if done:
            apply(stage, server, [share], update)
        wanted = msgspec.structs.replace(
            server, network_info=server.network_info if whole else update.current
        )
        twice(lambda: stage.driver.ensure_server(wanted, [share]))
        for entry in server.network_info:
            is_served = whole or entry in update.current
            assert self._reads(stage, share, entry) == is_served, entry.subnet.cidr
        apply(stage, server, [share], update)
        stage.now(msgspec.structs.replace(server, network_info=update.current))
        assert [self._reads(stage, share, entry) for entry in update.current] == [True] * len(
            update.current
        )
        assert not self._reads(stage, share, update.removed[0])

    def test_a_server_that_is_not_there_gives_nothing_up(self, stage: Stage) -> None:
        need_removals(stage)
        server = stage.described((0, stage.families[0]), (1, stage.families[-1]))
        update = NetworkInfoUpdate(
            current=server.network_info[:1], added=[], removed=server.network_info[1:]
        )
        with pytest.raises(BackendError):
            stage.driver.update_share_server_network_allocations(update, {}, [], [])

    def _admit_all(self, stage: Stage, server: ShareServer, share: Share) -> Share:
        """A client on each subnet may use the share; the share with these rules."""
        rules = [rule(client_on(entry)) for entry in server.network_info]
        assert stage.driver.update_access(share, rules, server) == {}
        return msgspec.structs.replace(share, access_rules=rules)

    def _reads(self, stage: Stage, share: Share, entry: NetworkInfo) -> bool:
        """Whether the client on that subnet reads the share there."""
        return self.can_read(stage.driver, location_on(share, entry), client_on(entry), entry)


def need_removals(stage: Stage) -> None:
    for capability in (
        "share_server_multiple_subnet_support",
        "share_server_subnet_removal_support",
    ):
        need(getattr(stage.driver.capabilities, capability), capability)


def shrinking(
    stage: Stage, which: int, *, bare: bool = False
) -> tuple[ShareServer, Share, NetworkInfoUpdate]:
    """A server on two networks in all families with a share (or, `bare`, one that is not made), and
    the removal of one of its subnets."""
    need_removals(stage)
    server = stage.server(*((network, version) for network in (0, 1) for version in stage.families))
    share = stage.new_share(server) if bare else stage.share(server)
    removed = server.network_info[which]
    current = [entry for entry in server.network_info if entry is not removed]
    return server, share, NetworkInfoUpdate(current=current, added=[], removed=[removed])


def paths(locations: Sequence[ExportLocation]) -> list[str]:
    return [location.path for location in shown(locations)]


def location_on(share: Share, entry: NetworkInfo) -> ExportLocation:
    """The location of the share by its server's first address on that subnet."""
    address = entry.network_allocations[0].ip_address
    return next(each for each in shown(share.export_locations) if address_of(each) == address)
