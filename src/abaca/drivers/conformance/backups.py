"""The tests of the suite about backups. They are part of `DriverConformance`; each is skipped
without the capability."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from abaca.drivers.conformance.stage import Stage, forgotten, need, twice
from abaca.drivers.interface import ShareDriver
from abaca.errors import BackendError
from abaca.values import Backup, BackupProgress, Share, ShareServer

_MOST_CALLS = 60
GIB = 2**30


class BackupConformance:
    """What a driver that declares `backup_support` must do. The hooks are those of
    `DriverConformance`."""

    def fill_share(self, driver: ShareDriver, share: Share, server: ShareServer, gib: int) -> None:
        """Write `gib` GiB into the share, as a client would."""
        pytest.skip("the driver's author gives no way to fill a share")

    def empty_share(self, driver: ShareDriver, share: Share, server: ShareServer) -> None:
        """Remove what was written into the share, as a client would."""
        pytest.skip("the driver's author gives no way to empty a share")

    def held_gib(self, driver: ShareDriver, share: Share, server: ShareServer) -> int:
        """Whole GiB that a client finds in the share."""
        pytest.skip("the driver's author gives no way to look into a share")

    def test_a_backup_is_made_and_deleted_again(self, stage: Stage) -> None:
        need(stage.driver.capabilities.backup_support, "backup_support")
        server = stage.server()
        share = stage.share(server)
        backup = _backup_of(share)
        twice(lambda: stage.driver.begin_backup(backup, share, server))
        _carry_on(lambda: stage.driver.continue_backup(backup))
        twice(lambda: stage.driver.end_backup(backup, share, forgotten(server)))
        twice(lambda: stage.driver.delete_backup(backup))
        assert stage.driver.create_share(share, server) == share.export_locations

    def test_a_backup_that_was_never_made_is_ended_and_deleted(self, stage: Stage) -> None:
        need(stage.driver.capabilities.backup_support, "backup_support")
        server = stage.server()
        share = stage.share(server)
        backup = _backup_of(share)
        stage.driver.end_backup(backup, share, server)
        stage.driver.abandon_restore(backup, share, server)
        stage.driver.delete_backup(backup)

    def test_nothing_is_copied_or_restored_that_is_not_there(self, stage: Stage) -> None:
        need(stage.driver.capabilities.backup_support, "backup_support")
        server = stage.server()
        share = stage.share(server)
        backup = _backup_of(share)
        with pytest.raises(BackendError):
            stage.driver.continue_backup(backup)
        with pytest.raises(BackendError):
            _carry_on(lambda: stage.driver.continue_restore(backup, share))
        stage.driver.abandon_restore(backup, share, server)

    def test_a_share_gets_back_what_it_held_when_the_backup_began(self, stage: Stage) -> None:
        need(stage.driver.capabilities.backup_support, "backup_support")
        server = stage.server()
        share = stage.share(server, size=3)
        backup = _backup_of(share)
        self.fill_share(stage.driver, share, server, 1)
        stage.driver.begin_backup(backup, share, server)
        self.empty_share(stage.driver, share, server)
        _carry_on(lambda: stage.driver.continue_backup(backup))
        stage.driver.end_backup(backup, share, server)
        assert self.held_gib(stage.driver, share, server) == 0
        _carry_on(lambda: stage.driver.continue_restore(backup, share))
        assert self.held_gib(stage.driver, share, server) == 0
        stage.driver.end_restore(backup, share, server)
        stage.driver.end_restore(backup, share, server)
        assert self.held_gib(stage.driver, share, server) == 1
        stage.driver.delete_backup(backup)
        assert self.held_gib(stage.driver, share, server) == 1

    def test_a_backup_is_restored_into_another_share(self, stage: Stage) -> None:
        need(stage.driver.capabilities.backup_support, "backup_support")
        server = stage.server()
        share, other = stage.share(server, size=2), stage.share(server, size=2)
        backup = _backup_of(share)
        self.fill_share(stage.driver, share, server, 1)
        _make(stage, backup, share, server)
        _carry_on(lambda: stage.driver.continue_restore(backup, other))
        stage.driver.end_restore(backup, other, server)
        assert self.held_gib(stage.driver, other, server) == 1
        stage.driver.delete_backup(backup)

    def test_a_backup_outlives_the_others_of_its_share(self, stage: Stage) -> None:
        need(stage.driver.capabilities.backup_support, "backup_support")
        server = stage.server()
        share = stage.share(server, size=2)
        first, second = _backup_of(share), _backup_of(share)
        _make(stage, first, share, server)
        self.fill_share(stage.driver, share, server, 1)
        _make(stage, second, share, server)
        stage.driver.delete_backup(first)
        self.empty_share(stage.driver, share, server)
        _carry_on(lambda: stage.driver.continue_restore(second, share))
        stage.driver.end_restore(second, share, server)
        assert self.held_gib(stage.driver, share, server) == 1
        stage.driver.delete_backup(second)

    def test_what_was_fetched_is_given_up(self, stage: Stage) -> None:
        need(stage.driver.capabilities.backup_support, "backup_support")
        server = stage.server()
        share = stage.share(server, size=2)
        backup = _backup_of(share)
        _make(stage, backup, share, server)
        self.fill_share(stage.driver, share, server, 1)
        _carry_on(lambda: stage.driver.continue_restore(backup, share))
        twice(lambda: stage.driver.abandon_restore(backup, share, server))
        assert self.held_gib(stage.driver, share, server) == 1
        stage.driver.delete_backup(backup)


def _backup_of(share: Share) -> Backup:
    return Backup(
        id=str(uuid.uuid4()), share_id=share.share_id, project_id="project", size=share.size
    )


def _make(stage: Stage, backup: Backup, share: Share, server: ShareServer) -> None:
    stage.driver.begin_backup(backup, share, server)
    _carry_on(lambda: stage.driver.continue_backup(backup))
    stage.driver.end_backup(backup, share, server)


def _carry_on(call: Callable[[], BackupProgress]) -> None:
    """Until it is done."""
    for _ in range(_MOST_CALLS):
        progress = call()
        assert 0 <= progress.percent <= 100
        if progress.is_done:
            return
    raise AssertionError(f"not done after {_MOST_CALLS} calls: {progress}")
