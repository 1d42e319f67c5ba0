"""The fake back end's backups: of a share it copies how much clients have written."""

from __future__ import annotations

from abaca.drivers.fake.back_end import FakeBackEnd, share_there
from abaca.drivers.fake.world import StoredBackup, World, fetched_as
from abaca.errors import Refused
from abaca.values import Backup, BackupProgress, Share, ShareServer

_CALLS = 2  # copying takes so many calls, so that tests see one in the middle


class FakeBackups(FakeBackEnd):
    """Calls about backups."""

    def begin_backup(self, backup: Backup, share: Share, server: ShareServer | None) -> None:
        with (
            self._call("begin_backup", backup.id, share.id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            self._require_backups()
            self._server_of(world, server)
            world.fixed.setdefault(backup.id, share_there(world, share).used_bytes)

    def continue_backup(self, backup: Backup) -> BackupProgress:
        with self._call("continue_backup", backup.id), self._store.change() as world:
            if backup.id not in world.fixed:
                raise Refused(f"Nothing was fixed for the backup {backup.id}.", is_public=True)
            stored = world.backups.setdefault(
                backup.id, StoredBackup(backup.id, backup.share_id, world.fixed[backup.id])
            )
            stored.copied_bytes = _further(stored.copied_bytes, stored.used_bytes)
            return _progress(stored.copied_bytes, stored.used_bytes)

    def end_backup(self, backup: Backup, share: Share, server: ShareServer | None) -> None:
        with (
            self._call("end_backup", backup.id, share.id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            world.fixed.pop(backup.id, None)

    def continue_restore(self, backup: Backup, share: Share) -> BackupProgress:
        with self._call("continue_restore", backup.id, share.id), self._store.change() as world:
            stored = _backup(world, backup)
            share_there(world, share)
            key = fetched_as(share.id, backup.id)
            world.fetched[key] = _further(world.fetched.get(key, 0), stored.used_bytes)
            return _progress(world.fetched[key], stored.used_bytes)

    def end_restore(self, backup: Backup, share: Share, server: ShareServer | None) -> None:
        with (
            self._call("end_restore", backup.id, share.id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            self._server_of(world, server)
            stored = share_there(world, share)
            stored.used_bytes = _backup(world, backup).used_bytes
            world.fetched.pop(fetched_as(share.id, backup.id), None)

    def abandon_restore(self, backup: Backup, share: Share, server: ShareServer | None) -> None:
        with (
            self._call("abandon_restore", backup.id, share.id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            world.fetched.pop(fetched_as(share.id, backup.id), None)

    def delete_backup(self, backup: Backup) -> None:
        with self._call("delete_backup", backup.id), self._store.change() as world:
            world.backups.pop(backup.id, None)

    def _require_backups(self) -> None:
        if not self.capabilities.backup_support:
            raise Refused("This back end keeps no backups.", is_public=True)


def _further(have: int, whole: int) -> int:
    return min(whole, have + -(-whole // _CALLS))


def _progress(have: int, whole: int) -> BackupProgress:
    return BackupProgress(is_done=have == whole, percent=100 * have // whole if whole else 100)


def _backup(world: World, backup: Backup) -> StoredBackup:
    if backup.id not in world.backups:
        raise Refused(f"This back end has no backup {backup.id}.", is_public=True)
    return world.backups[backup.id]
