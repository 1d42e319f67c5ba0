"""The tests of the suite for back ends without share servers. They are part of `DriverConformance`;
for a driver with share servers they are skipped."""

from __future__ import annotations

import msgspec
import pytest

from abaca.drivers.conformance.stage import Stage, need, rule, shown, twice
from abaca.drivers.interface import ShareDriver
from abaca.errors import BackendError, NoSpace
from abaca.values import ExportLocation

CLIENT, STRANGER = "10.128.0.9", "10.128.0.10"
DEATH_SECONDS = 10.0


class WithoutServersConformance:
    """What a driver that declares `driver_handles_share_servers` False must do. The hook
    `lose_everything` is that of `DriverConformance`."""

    def lose_everything(self, driver: ShareDriver) -> ShareDriver:
        pytest.skip("the driver's author gives no way to lose everything")

    def reads(self, driver: ShareDriver, location: ExportLocation, client: str) -> bool:
        """Without share servers: can a client with that address read the share or snapshot by that
        location?"""
        pytest.skip("the driver's author gives no way to read a share without a server")

    def stop_own_server(self, driver: ShareDriver) -> None:
        """Without share servers: have the file server of the back end die by itself."""
        pytest.skip("the driver's author gives no way to have the file server die")

    def test_a_share_lives_without_a_server_where_there_are_none(self, stage: Stage) -> None:
        driver = _without_servers(stage)
        share = stage.new_share(None)
        locations = twice(lambda: driver.create_share(share, None))
        assert shown(locations)[0].preferred
        assert twice(lambda: driver.update_access(share, [rule(CLIENT)], None)) == {}
        for change, size in ((driver.extend_share, 2), (driver.shrink_share, 1)):
            change(share, size, None)
            change(share, size, None)
        assert driver.create_share(share, None) == locations
        twice(lambda: driver.delete_share(share, None))

    def test_shares_without_servers_have_their_own_paths_and_rules(self, stage: Stage) -> None:
        driver = _without_servers(stage)
        one, other = stage.share(None), stage.share(None)
        assert {each.path for each in one.export_locations}.isdisjoint(
            each.path for each in other.export_locations
        )
        driver.update_access(one, [rule(CLIENT)], None)
        driver.update_access(other, [rule(STRANGER)], None)
        for share, reader, kept_out in ((one, CLIENT, STRANGER), (other, STRANGER, CLIENT)):
            for location in shown(share.export_locations):
                assert self.reads(driver, location, reader)
                assert not self.reads(driver, location, kept_out)
        driver.update_access(one, [], None)
        assert not self.reads(driver, shown(one.export_locations)[0], CLIENT)
        assert self.reads(driver, shown(other.export_locations)[0], STRANGER)

    def test_a_share_without_a_server_and_without_room_is_no_space(self, stage: Stage) -> None:
        driver = _without_servers(stage)
        pool = driver.get_pools()[0]
        size = int(pool.total_capacity_gb * pool.max_over_subscription_ratio) + 2
        with pytest.raises(NoSpace):
            driver.create_share(stage.new_share(None, size=size), None)

    def test_snapshots_without_servers(self, stage: Stage) -> None:
        driver = _without_servers(stage)
        need(driver.capabilities.snapshot_support, "snapshot_support")
        share = stage.share(None)
        with pytest.raises(BackendError):
            driver.create_snapshot(stage.new_snapshot(stage.new_share(None), None), None)
        snapshot = stage.snapshot(share, None)
        assert driver.create_snapshot(snapshot, None).provider_location == (
            snapshot.provider_location
        )
        if driver.capabilities.create_share_from_snapshot_support:
            copy = stage.new_share(None, size=2)
            locations = twice(lambda: driver.create_share_from_snapshot(copy, snapshot, None))
            assert locations != share.export_locations
        if driver.capabilities.revert_to_snapshot_support:
            driver.extend_share(share, 2, None)
            twice(lambda: driver.revert_to_snapshot(snapshot, share, None))
            assert driver.create_share(share, None) == share.export_locations
        twice(lambda: driver.delete_snapshot(snapshot, None))

    def test_mounted_snapshots_without_servers(self, stage: Stage) -> None:
        driver = _without_servers(stage)
        need(driver.capabilities.mount_snapshot_support, "mount_snapshot_support")
        share = stage.share(None)
        snapshot = stage.snapshot(share, None, is_mountable=True)
        (location, *_) = shown(snapshot.export_locations)
        assert not self.reads(driver, location, CLIENT)
        rules = [rule(CLIENT, access_level="ro")]
        assert twice(lambda: driver.update_snapshot_access(snapshot, rules, None)) == {}
        assert self.reads(driver, location, CLIENT) and not self.reads(driver, location, STRANGER)

    def test_everything_is_ensured_after_a_loss(self, stage: Stage) -> None:
        _without_servers(stage)
        share, other = stage.share(None), stage.share(None)
        half = msgspec.structs.replace(stage.new_share(None), is_complete=False)
        stage.exchange(self.lose_everything(stage.driver))
        driver = stage.driver
        driver.check_for_setup_error()
        described = msgspec.structs.replace(share, access_rules=[rule(CLIENT)])
        twice(lambda: driver.ensure_shares([described, other, half]))
        (location, *_) = shown(share.export_locations)
        assert self.reads(driver, location, CLIENT) and not self.reads(driver, location, STRANGER)
        assert not self.reads(driver, shown(other.export_locations)[0], CLIENT)
        assert driver.create_share(share, None) == share.export_locations

    def test_its_own_file_server_is_restarted_as_it_was(self, stage: Stage) -> None:
        driver = _without_servers(stage)
        own = driver.own_server_id
        need(own is not None, "own_server_id")
        assert own is not None
        share = stage.share(None)
        driver.ensure_shares([share])
        driver.update_access(share, [rule(CLIENT)], None)
        driver.wait_for_deaths(0)  # of what other tests let die
        assert twice(lambda: driver.unserved([own])) == []
        self.stop_own_server(driver)
        assert driver.wait_for_deaths(DEATH_SECONDS) == [own]
        assert driver.unserved([own]) == [own]
        assert driver.restart_server(own)
        assert not driver.restart_server(own), "it serves"
        assert driver.unserved([own]) == []
        assert self.reads(driver, shown(share.export_locations)[0], CLIENT)


def _without_servers(stage: Stage) -> ShareDriver:
    need(not stage.driver.capabilities.driver_handles_share_servers, "shares without share servers")
    return stage.driver
