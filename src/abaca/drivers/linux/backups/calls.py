"""What the service asks of the Linux driver about backups."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from abaca.drivers.interface import ShareDriver
from abaca.drivers.linux.backups.jobs import Job, State
from abaca.drivers.linux.backups.target import RESTIC, Target
from abaca.drivers.linux.backups.work import BACK_UP, DELETE, RESTORE, Order, Result
from abaca.drivers.linux.file_services.interface import Export
from abaca.drivers.linux.layout import OF_BACKUPS, Layout, safe_id
from abaca.drivers.linux.pools.interface import FileSystems, NotThere, Pool
from abaca.drivers.linux.programs import SEARCH_PATH, os_errors_sorted
from abaca.drivers.linux.server import LinuxServer
from abaca.errors import BackendError, NoSpace, OutcomeUnknown, Refused, Unavailable
from abaca.values import Backup, BackupProgress, Share, ShareServer

DELETE_SECONDS = 600.0
_FIXED, _FETCHED = OF_BACKUPS
# What restic says of a disk without room, of its own or of the share's.
_NO_ROOM = ("no space left on device", "disk quota exceeded")


class BackupCalls(ShareDriver):
    """The calls of the capability `backup_support`, for the Linux driver to inherit."""

    call_seconds = 50.0
    """How long a call waits for what goes on."""
    layout: Layout
    file_systems: FileSystems
    backup_target: Target | None

    @abstractmethod
    def _pool_of(self, server_id: str) -> Pool:
        """Where the shares of a server are."""

    @abstractmethod
    def _locked(self, server_id: str) -> AbstractContextManager[LinuxServer]:
        """The server, for one call at a time."""

    @abstractmethod
    def _of(self, server: ShareServer | None) -> ShareServer:
        """The server of a call."""

    @abstractmethod
    def _paused(self, server: ShareServer, project_id: str) -> AbstractContextManager[object]:
        """Around what pauses clients of a share server, for a project."""

    def begin_backup(self, backup: Backup, share: Share, server: ShareServer | None) -> None:
        self._kept().require()
        pool = self._pool_of(self._of(server).id)
        with os_errors_sorted(f"share {share.id}"):
            pool.snapshot(_fixed(backup), share.id)

    def continue_backup(self, backup: Backup) -> BackupProgress:
        target = self._kept()
        place = self.file_systems.holding(_fixed(backup)).place(_fixed(backup))

        def begin() -> Order:
            return self._order(target, BACK_UP, backup)._replace(**place._asdict())

        state = self._carry_on(self._copying(backup), begin, self.call_seconds)
        return BackupProgress(
            is_done=state.result is not None,
            percent=100 if state.result else state.progress.percent,
        )

    def end_backup(self, backup: Backup, share: Share, server: ShareServer | None) -> None:
        self._copying(backup).end()
        with suppress(NotThere), os_errors_sorted(f"share {share.id}"):
            self._pool_of(self._of(server).id).delete(_fixed(backup))

    def continue_restore(self, backup: Backup, share: Share) -> BackupProgress:
        target, pool = self._kept(), self.file_systems.holding(share.id)
        name = _fetched(backup)

        def begin() -> Order:
            order = self._order(target, RESTORE, backup)
            if not target.repository(backup).exists():
                raise Refused(f"there is no backup {backup.id} in {target.folder}")
            pool.delete(name)  # what was fetched before is not whole
            try:
                pool.create(name, share.size)
            except NoSpace as error:
                raise NoSpace(
                    f"There is no room to restore the backup, which takes {share.size} GiB beside "
                    "what the share holds.",
                    is_public=True,
                ) from error
            return order._replace(**pool.place(name)._asdict())

        state = self._carry_on(self._fetching(backup, share), begin, self.call_seconds)
        if state.result is not None:
            return BackupProgress(is_done=True, percent=100)
        total = state.progress.total_bytes
        fetched = pool.used(name) if total else 0
        return BackupProgress(is_done=False, percent=min(99, 100 * fetched // max(total, 1)))

    def end_restore(self, backup: Backup, share: Share, server: ShareServer | None) -> None:
        """Clients of this server wait meanwhile, as for a revert."""
        server, name = self._of(server), _fetched(backup)
        with self._paused(server, share.project_id), self._locked(server.id) as linux_server:
            pool = self._pool_of(server.id)
            if pool.has(name):
                export = Export.of(share, server.network_info)
                pool.revert(share.id, name, share.size, linux_server.set_aside(export))
        self.abandon_restore(backup, share, server)

    def abandon_restore(self, backup: Backup, share: Share, server: ShareServer | None) -> None:
        self._fetching(backup, share).end()
        with suppress(NotThere), os_errors_sorted(f"share {share.id}"):
            self._pool_of(self._of(server).id).delete(_fetched(backup))

    def delete_backup(self, backup: Backup) -> None:
        target = self._kept()
        target.require()
        with suppress(NotThere):  # of a restore that could not be abandoned
            self.file_systems.holding(_fetched(backup)).delete(_fetched(backup))
        job = Job(self.layout, f"delete-{safe_id(backup.id)}")
        with os_errors_sorted(f"backup {backup.id}"):
            if not target.repository(backup).exists():
                job.end()
                return
        state = self._carry_on(job, lambda: self._order(target, DELETE, backup), DELETE_SECONDS)
        if state.result is None:
            raise OutcomeUnknown(f"backup {backup.id} is still being deleted")
        job.end()

    def _kept(self) -> Target:
        """Where backups are kept. Raises Refused."""
        if self.backup_target is None:
            raise Refused("This back end keeps no backups.", is_public=True)
        return self.backup_target

    def _copying(self, backup: Backup) -> Job:
        return Job(self.layout, f"copy-{safe_id(backup.id)}")

    def _fetching(self, backup: Backup, share: Share) -> Job:
        return Job(self.layout, f"fetch-{safe_id(backup.id)}.{safe_id(share.id)}")

    def _order(self, target: Target, kind: str, backup: Backup) -> Order:
        """Raises Unavailable when the target cannot be used now."""
        target.require()
        program = shutil.which(RESTIC, path=SEARCH_PATH)
        if program is None:
            raise Unavailable(f"program {RESTIC} is not installed")
        return Order(
            kind=kind,
            backup_id=backup.id,
            repository=str(target.repository(backup)),
            password=target.password(backup),
            program=program,
        )

    def _carry_on(self, job: Job, begin: Callable[[], Order], seconds: float) -> State:
        """A job that failed is forgotten, so that the next call begins anew. Raises what it means
        that it failed."""
        with os_errors_sorted("a backup"):
            state = job.carry_on(begin, seconds)
            if state.result is None or state.result.lack is None:
                return state
            job.end()
        self._kept().require()  # that it is gone says more than what restic thought of it
        raise _error(state.result)


def _error(result: Result) -> BackendError:
    """What a failure means."""
    said = result.lack or ""
    if result.is_incomplete:
        return Refused(
            "The share holds something that cannot be backed up, such as a path of more than 4,000 "
            "bytes: shorten it, and make another backup.",
            is_public=True,
        )
    if _NO_ROOM[1] in said:
        return NoSpace(
            "The backup does not fit into the share: holes of sparse files take room when they are "
            "restored. Extend the share, or restore into a larger one.",
            is_public=True,
        )
    if _NO_ROOM[0] in said:
        return NoSpace(
            "There is no room left where backups are kept, or on the back end.", is_public=True
        )
    return OutcomeUnknown(said)


def _fixed(backup: Backup) -> str:
    return f"{_FIXED}{safe_id(backup.id)}"


def _fetched(backup: Backup) -> str:
    return f"{_FETCHED}{safe_id(backup.id)}"
