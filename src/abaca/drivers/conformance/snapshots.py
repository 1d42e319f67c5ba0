"""The tests of the suite about snapshots. They are part of `DriverConformance`; each is skipped
without its capability."""

from __future__ import annotations

from uuid import uuid4

import msgspec
import pytest

from abaca.drivers.conformance.stage import (
    Stage,
    after,
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
from abaca.drivers.interface import ShareDriver
from abaca.errors import BackendError, NoSpace, Refused
from abaca.values import ExportLocation, NetworkInfo, Share, ShareServer, Snapshot


class SnapshotConformance:
    """What a driver that declares a capability of snapshots must do. The hooks are those of
    `DriverConformance`."""

    def fill_share(self, driver: ShareDriver, share: Share, server: ShareServer, gib: int) -> None:
        """Write `gib` GiB into the share, as a client would."""
        pytest.skip("the driver's author gives no way to fill a share")

    def lose_everything(self, driver: ShareDriver) -> ShareDriver:
        """As a reboot does: everything that is not data is gone. Returns the driver to go on
        with."""
        pytest.skip("the driver's author gives no way to lose everything")

    def can_read(
        self, driver: ShareDriver, location: ExportLocation, client: str, entry: NetworkInfo
    ) -> bool:
        """Can a client with address `client` on the subnet of `entry` read the share or snapshot by
        that location?"""
        pytest.skip("the driver's author gives no way to read a share")

    # --- taking and deleting ----------------------------------------------------------------------

    def test_a_snapshot_is_taken_and_deleted_again(self, stage: Stage) -> None:
        need_snapshots(stage)
        server = stage.server()
        share = stage.share(server)
        snapshot, other = stage.new_snapshot(share, server), stage.new_snapshot(share, server)
        assert not twice(lambda: stage.driver.create_snapshot(snapshot, server)).export_locations
        stage.driver.create_snapshot(other, forgotten(server))
        twice(lambda: stage.driver.delete_snapshot(snapshot, server))
        stage.driver.delete_snapshot(stage.new_snapshot(share, server), forgotten(server))
        assert stage.driver.create_share(share, server) == share.export_locations

    def test_a_snapshot_of_what_is_not_there_fails(self, stage: Stage) -> None:
        need_snapshots(stage)
        server = stage.server()
        with pytest.raises(BackendError):
            stage.driver.create_snapshot(
                stage.new_snapshot(stage.new_share(server), server), server
            )

    def test_several_shares_have_snapshots_of_one_instant(self, stage: Stage) -> None:
        need_group_snapshots(stage)
        server = stage.server()
        snapshots = [stage.new_snapshot(stage.share(server), server) for _ in range(3)]
        told = twice(lambda: stage.driver.create_group_snapshot(snapshots, server))
        assert told.keys() == {snapshot.id for snapshot in snapshots}
        for snapshot in snapshots:
            twice(lambda one=snapshot: stage.driver.delete_snapshot(one, server))  # type: ignore[misc]

    def test_if_one_of_several_shares_is_not_there_no_snapshot_is_taken(self, stage: Stage) -> None:
        need_group_snapshots(stage)
        copies = stage.driver.capabilities.create_share_from_snapshot_support
        need(copies, "create_share_from_snapshot_support")
        server = stage.server()
        there = stage.new_snapshot(stage.share(server), server)
        lost = stage.new_snapshot(stage.new_share(server), server)
        with pytest.raises(BackendError):
            stage.driver.create_group_snapshot([there, lost], server)
        with pytest.raises(BackendError):
            stage.driver.create_share_from_snapshot(stage.new_share(server), there, server)

    def test_a_snapshot_is_deleted_without_its_server(self, stage: Stage) -> None:
        need_snapshots(stage)
        server = stage.server()
        share = stage.share(server)
        snapshot = stage.snapshot(share, server)
        stage.driver.teardown_server(server.id, {})
        twice(lambda: stage.driver.delete_snapshot(snapshot, forgotten(server)))

    def test_a_server_is_ensured_with_snapshots(self, stage: Stage) -> None:
        need_snapshots(stage)
        server = stage.server()
        share = stage.share(server)
        snapshots = [
            stage.snapshot(share, server),
            msgspec.structs.replace(stage.new_snapshot(share, server), is_complete=False),
        ]
        twice(lambda: stage.driver.ensure_server(forgotten(server), [share], snapshots))

    # --- shares from snapshots --------------------------------------------------------------------

    def test_a_share_from_a_snapshot_needs_neither_it_nor_its_share(self, stage: Stage) -> None:
        server, share, snapshot = self._cloneable(stage)
        clone = stage.new_share(server, size=2)
        locations = twice(lambda: stage.driver.create_share_from_snapshot(clone, snapshot, server))
        assert_well_formed(locations, server)
        stage.driver.delete_snapshot(snapshot, server)
        stage.driver.delete_share(share, server)
        assert stage.driver.create_share(clone, server) == locations
        assert (
            stage.driver.update_access(clone, [rule(client_on(server.network_info[0]))], server)
            == {}
        )

    def test_a_share_from_a_snapshot_holds_what_the_snapshot_holds(self, stage: Stage) -> None:
        server, share, _ = self._cloneable(stage, size=3)
        self.fill_share(stage.driver, share, server, gib=2)
        clone = stage.new_share(server, size=3)
        stage.driver.create_share_from_snapshot(clone, stage.snapshot(share, server), server)
        with pytest.raises(Refused):
            stage.driver.shrink_share(clone, 1, server)

    def test_a_snapshot_does_not_change_with_its_share(self, stage: Stage) -> None:
        server, share, empty = self._cloneable(stage, size=3)
        self.fill_share(stage.driver, share, server, gib=2)
        clone = stage.new_share(server, size=3)
        stage.driver.create_share_from_snapshot(clone, empty, server)
        stage.driver.shrink_share(clone, 1, server)
        with pytest.raises(Refused):
            stage.driver.shrink_share(share, 1, server)

    def test_nobody_may_access_a_new_share_from_a_snapshot(self, stage: Stage) -> None:
        server, share, snapshot = self._cloneable(stage)
        entry = server.network_info[0]
        stage.driver.update_access(share, [rule(entry.subnet.cidr)], server)
        (location, *_) = shown(
            stage.driver.create_share_from_snapshot(stage.new_share(server), snapshot, server)
        )
        assert not self.can_read(stage.driver, location, client_on(entry), entry)

    def test_a_share_from_a_snapshot_without_room_is_no_space(self, stage: Stage) -> None:
        server, _, snapshot = self._cloneable(stage)
        pool = stage.driver.get_pools()[0]
        share = stage.new_share(
            server, size=int(pool.total_capacity_gb * pool.max_over_subscription_ratio) + 1
        )
        with pytest.raises(NoSpace):
            stage.driver.create_share_from_snapshot(share, snapshot, server)

    # --- reverting --------------------------------------------------------------------------------

    def test_a_share_is_reverted_again_and_keeps_its_paths(self, stage: Stage) -> None:
        need(stage.driver.capabilities.revert_to_snapshot_support, "revert_to_snapshot_support")
        server = stage.server_on_all_families()
        share = stage.share(server, size=3)
        snapshot = stage.snapshot(share, server)
        self.fill_share(stage.driver, share, server, gib=2)
        twice(lambda: stage.driver.revert_to_snapshot(snapshot, share, server))
        stage.driver.revert_to_snapshot(snapshot, share, forgotten(server))
        stage.driver.shrink_share(share, 1, server)
        assert stage.driver.create_share(share, server) == share.export_locations

    def test_reverting_restores_the_size_and_the_rules(self, stage: Stage) -> None:
        need(stage.driver.capabilities.revert_to_snapshot_support, "revert_to_snapshot_support")
        server = stage.server()
        entry = server.network_info[0]
        share = msgspec.structs.replace(
            stage.share(server, size=3), access_rules=[rule(client_on(entry))]
        )
        stage.driver.update_access(share, share.access_rules, server)
        snapshot = stage.snapshot(share, server)
        stage.driver.shrink_share(share, 1, server)
        stage.driver.revert_to_snapshot(snapshot, msgspec.structs.replace(share, size=1), server)
        assert self.can_read(
            stage.driver, shown(share.export_locations)[0], client_on(entry), entry
        )
        assert not self.can_read(
            stage.driver, shown(share.export_locations)[0], client_on(entry, 2), entry
        )
        self.fill_share(stage.driver, share, server, gib=2)

    # --- mounting ---------------------------------------------------------------------------------

    def test_a_mountable_snapshot_has_a_location_for_each_address(self, stage: Stage) -> None:
        server, share = self._mountable(stage)
        snapshot = stage.new_snapshot(share, server, is_mountable=True)
        taken = twice(lambda: stage.driver.create_snapshot(snapshot, server))
        assert_well_formed(taken.export_locations or [], server)
        assert as_kept("create_snapshot", taken) == taken
        assert {each.path for each in taken.export_locations or []}.isdisjoint(
            {each.path for each in share.export_locations}
        )

    def test_only_clients_with_a_rule_read_a_snapshot(self, stage: Stage) -> None:
        server, share = self._mountable(stage)
        snapshot = stage.snapshot(share, server, is_mountable=True)
        entry = server.network_info[0]
        client, stranger = client_on(entry), client_on(entry, 2)
        for rules, readers in (
            ([client], [client]),
            ([entry.subnet.cidr], [client, stranger]),
            ([], []),
        ):
            wanted = [rule(each, access_level="ro") for each in rules]
            assert (
                twice(
                    lambda wanted=wanted: stage.driver.update_snapshot_access(  # type: ignore[misc]
                        snapshot, wanted, server
                    )
                )
                == {}
            )
            assert [
                who
                for who in (client, stranger)
                if self.can_read(stage.driver, shown(snapshot.export_locations)[0], who, entry)
            ] == readers

    def test_a_snapshot_is_let_go_and_taken_over(self, stage: Stage) -> None:
        """Nobody reads it in between; it has its data, and only its rules grant it."""
        server, share = self._mountable(stage)
        snapshot = stage.snapshot(share, server, is_mountable=True)
        location, entry = shown(snapshot.export_locations)[0], server.network_info[0]
        granted = [rule(client_on(entry), access_level="ro")]
        stage.driver.update_snapshot_access(snapshot, granted, server)
        try:
            twice(lambda: stage.driver.unmanage_snapshot(snapshot, server))
        except Refused:
            pytest.skip("the back end does not let snapshots go")
        assert not self.can_read(stage.driver, location, client_on(entry), entry)
        bare = _as_found(snapshot, access_rules=granted)
        found = twice(lambda: stage.driver.manage_snapshot(bare, server, {}))
        assert found.provider_location == snapshot.provider_location
        assert found.size in (None, snapshot.size)
        assert shown(found.export_locations or []) == shown(snapshot.export_locations)
        assert self.can_read(stage.driver, location, client_on(entry), entry)
        assert not self.can_read(stage.driver, location, client_on(entry, 2), entry)

    def test_what_is_no_snapshot_of_the_share_is_not_taken_over(self, stage: Stage) -> None:
        """Another share's, the share itself, and what is not there."""
        need_snapshots(stage)
        server = stage.server()
        share, other = stage.share(server), stage.share(server)
        snapshot = stage.snapshot(share, server)
        assert snapshot.provider_location is not None
        wrong = [
            _as_found(snapshot, share=other),
            _as_found(snapshot, provider_location="nowhere"),
            _as_found(snapshot, id=str(uuid4()), provider_location="nowhere"),
            *(
                _as_found(
                    snapshot,
                    id=each.id,
                    provider_location=snapshot.provider_location.replace(snapshot.id, each.id),
                )
                for each in (share, other)
            ),
        ]
        for each in wrong:
            with pytest.raises(Refused) as refused:
                stage.driver.manage_snapshot(each, server, {})
            location = each.provider_location or ""
            assert location not in refused.value.public_text(""), "for administrators only"

    def test_a_lost_server_is_ensured_with_its_mountable_snapshots(self, stage: Stage) -> None:
        server, share = self._mountable(stage)
        snapshot = stage.snapshot(share, server, is_mountable=True)
        entry = server.network_info[0]
        stage.exchange(self.lose_everything(stage.driver))
        stage.driver.check_for_setup_error()
        described = msgspec.structs.replace(
            snapshot, access_rules=[rule(client_on(entry), access_level="ro")]
        )
        twice(lambda: stage.driver.ensure_server(forgotten(server), [share], [described]))
        assert self.can_read(
            stage.driver, shown(snapshot.export_locations)[0], client_on(entry), entry
        )
        assert not self.can_read(
            stage.driver, shown(snapshot.export_locations)[0], client_on(entry, 2), entry
        )

    def test_added_subnets_serve_snapshots_after_the_old_ones(self, stage: Stage) -> None:
        need(stage.driver.capabilities.mount_snapshot_support, "mount_snapshot_support")
        server, share, update = growing(stage)
        entry = update.added[0]
        share = msgspec.structs.replace(share, access_rules=[rule(client_on(entry))])
        snapshot, hidden = (
            stage.snapshot(share, server, is_mountable=True),
            stage.snapshot(share, server),
        )
        answer = twice(
            lambda: stage.driver.update_share_server_network_allocations(
                update, {}, [share], [snapshot, hidden]
            )
        )
        locations = answer.snapshot_updates[snapshot.id].export_locations
        assert locations is not None
        assert shown(locations)[: len(shown(snapshot.export_locations))] == shown(
            snapshot.export_locations
        )
        grown = stage.now(after(server, update, answer))
        assert_well_formed(locations, grown)
        assert hidden.id not in answer.snapshot_updates
        assert self.can_read(stage.driver, shown(locations)[-1], client_on(entry), entry)

    def _cloneable(self, stage: Stage, size: int = 1) -> tuple[ShareServer, Share, Snapshot]:
        need(
            stage.driver.capabilities.create_share_from_snapshot_support,
            "create_share_from_snapshot_support",
        )
        server = stage.server()
        share = stage.share(server, size)
        return server, share, stage.snapshot(share, server)

    def _mountable(self, stage: Stage) -> tuple[ShareServer, Share]:
        need(stage.driver.capabilities.mount_snapshot_support, "mount_snapshot_support")
        server = stage.server_on_all_families()
        return server, stage.share(server)


def _as_found(snapshot: Snapshot, **more: object) -> Snapshot:
    """As the service describes one that it is to take over."""
    return msgspec.structs.replace(
        snapshot, **{"size": 0, "is_complete": False, "export_locations": [], **more}
    )


def need_group_snapshots(stage: Stage) -> None:
    """Skip what no snapshots of one instant can be taken for."""
    need(stage.driver.capabilities.consistent_snapshot_support, "consistent_snapshot_support")


def need_snapshots(stage: Stage) -> None:
    """Skip what no snapshot can be taken for."""
    need(stage.driver.capabilities.snapshot_support, "snapshot_support")
