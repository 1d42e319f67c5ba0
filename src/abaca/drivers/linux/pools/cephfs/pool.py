"""The shares and snapshots of one share server in CephFS: a group of subvolumes.

A share is a subvolume whose name begins with the installation's, its data are in a RADOS namespace
of their own, and one user of Ceph, made with it, may use that folder and that namespace and nothing
else. So what holds a share's key, a captured NFS server included, reaches that share. Snapshots are
those of the subvolume, by their ids; a clone is a full copy, which the manager makes.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from abaca.drivers.linux import processes
from abaca.drivers.linux.layout import NO_SHARE, safe_id
from abaca.drivers.linux.pools.cephfs.cluster import CephError, Cluster
from abaca.drivers.linux.pools.interface import NotThere, Place
from abaca.drivers.linux.pools.room import GIB
from abaca.drivers.linux.storage import Source
from abaca.errors import NoSpace, OutcomeUnknown, Refused, Unavailable

VOLUMES = "/volumes"  # in which the manager makes groups
AT_ONCE = 8  # of what the agent is asked
COPY_SECONDS = 720.0
"""A clone is waited for so long: a call of a driver may take a little longer."""
_COMPLETE = "complete"
_LOG = logging.getLogger(__name__)


class Subvolume(NamedTuple):
    """`state`: the manager's; `path`: of the data, None where only snapshots are left. Bytes."""

    state: str
    snapshots: list[str]
    path: str | None
    size: int
    used: int

    @property
    def is_share(self) -> bool:
        return self.path is not None and self.state == _COMPLETE

    @property
    def owed(self) -> int:
        """What it may still write beside what it holds. Its snapshots keep that, so with one it may
        write all of its size anew."""
        return self.size if self.snapshots else max(0, self.size - self.used)


Contents = dict[str, Subvolume]


@contextmanager
def errors_sorted(doing: str) -> Iterator[None]:
    """In this block what Ceph refuses becomes a BackendError."""
    try:
        yield
    except CephError as error:
        raise error.sorted(doing) from error


class CephPool:
    """`group`: the subvolume group of the share server. `prefix`: with which names of subvolumes
    begin. `lock`: of all that is promised in the cluster, of which `left()` may still be
    promised."""

    def __init__(
        self,
        cluster: Cluster,
        group: str,
        prefix: str,
        lock: threading.RLock,
        left: Callable[[], int],
    ) -> None:
        self._cluster = cluster
        self._group = group
        self._prefix = prefix
        self._lock = lock
        self._left = left

    def path(self, share_id: str) -> Path:
        return Path(VOLUMES, self._group, self._name(share_id))

    def has(self, share_id: str) -> bool:
        return share_id in self.share_ids()

    def share_ids(self) -> list[str]:
        found = self.contents()
        shares = [name for name, each in found.items() if each.is_share]
        snapshots = [name for each in found.values() for name in each.snapshots]
        return sorted(name for name in shares + snapshots if not name.startswith(NO_SHARE))

    def contents(self) -> Contents:
        """By the ids of shares."""
        with errors_sorted(f"looking at {self._group}"):
            told = self._cluster.ask("contents", f"{VOLUMES}/{self._group}")
        return {
            name.removeprefix(self._prefix): Subvolume(**each)
            for name, each in told.items()
            if name.startswith(self._prefix)
        }

    def end_clients(self) -> list[str]:
        """End sessions that an NFS server has left, which keeps them when it ends, so that it may
        reclaim what they hold: the MDS would wait for that, and one that is started again would
        serve nobody for five minutes. Returns the ids of what is there."""
        found = self.contents()
        with errors_sorted(f"ending clients of {self._group}"):
            for share_id, each in found.items():
                if each.path is not None:
                    self._cluster.ask("evict", self._user(share_id))
        return list(found)

    def shut_out(self) -> None:
        """Take the keys of all shares away, and end all sessions by them. Who still runs gets
        nothing with its key, and the OSDs refuse what it sends: a session that ends so is
        blocklisted.

        Before, too: a monitor that has just taken a key away waits for a second before it
        blocklists, and clients would wait for that.
        """
        users = [self._user(share_id) for share_id in self.contents()]
        with errors_sorted(f"shutting out clients of {self._group}"):
            self._evict(users)
            for user in users:
                self._cluster.mon("auth rm", entity=f"client.{user}")
            self._evict(users)  # those that have come back until their key was gone

    def _evict(self, users: Iterable[str]) -> None:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="evict") as threads:
            # each waits for a map of the OSDs
            list(threads.map(lambda user: self._cluster.ask("evict", user), users))

    def create(self, share_id: str, size_gib: int) -> None:
        with self._lock, errors_sorted(f"share {share_id}"):
            self._require_room(share_id, size_gib, self.contents())
            self._create(share_id, _bytes(size_gib), "777")

    def adopt(self, share_id: str, name: str) -> int:
        found = self.contents().get(share_id)
        if found is None or not found.is_share or name != share_id:
            raise NotThere(
                "On CephFS a share is only managed again that was unmanaged here before.",
                is_public=True,
            )
        return max(1, -(-max(found.size, found.used) // GIB))

    def snapshot(self, snapshot_id: str, share_id: str) -> None:
        with self._lock, errors_sorted(f"snapshot {snapshot_id}"):
            share = self._share(share_id)
            if snapshot_id in share.snapshots:
                return
            kept = 0 if share.snapshots else min(share.used, share.size)
            if kept > self._left():
                raise NoSpace(
                    "There is no room for a snapshot: it would keep what the share holds, "
                    f"{share.used / GIB:.2f} GiB, beside the share's size of "
                    f"{share.size // GIB} GiB. Delete older snapshots, or shrink the share.",
                    is_public=True,
                )
            self._mgr("fs subvolume snapshot create", share_id, snap_name=safe_id(snapshot_id))

    def snapshot_all(
        self, snapshots: Mapping[str, str], still: AbstractContextManager[object]
    ) -> None:
        raise Refused("snapshots of several shares are not of one instant in CephFS")

    def is_snapshot_of(self, snapshot_id: str, share_id: str) -> bool:
        share = self.contents().get(share_id)
        return share is not None and snapshot_id in share.snapshots

    def clone(self, share_id: str, snapshot_id: str, size_gib: int) -> None:
        """Raises OutcomeUnknown when the copy takes longer than a call may."""
        with errors_sorted(f"share {share_id}"):
            with self._lock:
                found = self.contents()
                source = _holder(found, snapshot_id)
                if source is None and share_id not in found:
                    raise NotThere(f"{self._group} has no snapshot {snapshot_id}")
                self._require_room(share_id, size_gib, found)
                if share_id not in found and source is not None:
                    self._mgr(
                        "fs subvolume snapshot clone",
                        source,
                        snap_name=safe_id(snapshot_id),
                        target_sub_name=self._name(share_id),
                        target_group_name=self._group,
                    )
            if not processes.wait_until(lambda: self._is_copied(share_id), COPY_SECONDS):
                raise OutcomeUnknown(f"the copy of snapshot {snapshot_id} is not complete yet")
            self._resize(share_id, _bytes(size_gib))

    def revert(
        self, share_id: str, snapshot_id: str, size_gib: int, unused: AbstractContextManager[object]
    ) -> None:
        raise Refused("shares in CephFS are not reverted in place")

    def resize(self, share_id: str, size_gib: int) -> None:
        with self._lock, errors_sorted(f"share {share_id}"):
            found = self.contents()
            used = self._share(share_id, found).used
            if used > _bytes(size_gib):
                raise Refused(
                    f"share {share_id} holds {used / GIB:.2f} GiB, which does not fit in "
                    f"{size_gib} GiB",
                    is_public=True,
                )
            self._require_room(share_id, size_gib, found)
            self._resize(share_id, _bytes(size_gib))

    def ensure_limits(self, sizes_gib: Mapping[str, int]) -> None:
        found = self.contents() if sizes_gib else {}
        for share_id, size_gib in sizes_gib.items():
            if share_id not in found or found[share_id].size != _bytes(size_gib):
                with errors_sorted(f"share {share_id}"):
                    self._share(share_id, found)
                    self._resize(share_id, _bytes(size_gib))

    def delete(self, share_id: str) -> None:
        with errors_sorted(f"deleting {share_id}"):
            found = self.contents()
            if (holder := _holder(found, share_id)) is not None:
                self._mgr("fs subvolume snapshot rm", holder, snap_name=share_id, force=True)
            elif share_id in found:
                self._delete_share(share_id, found[share_id])

    def _delete_share(self, share_id: str, found: Subvolume) -> None:
        """Its user first: whoever has the key, an NFS server that was killed or captured included,
        does nothing with it from then on, and holds nothing that is waited for."""
        self._cluster.mon("auth rm", entity=f"client.{self._user(share_id)}")
        self._cluster.ask("evict", self._user(share_id))
        if found.path is None:
            return  # its snapshots are still there, and go by their ids
        if found.state != _COMPLETE:
            with _allowed(errno.EINVAL, errno.ENOENT):  # it is complete by now, or has failed
                group = self._group
                self._cluster.mgr(
                    "fs clone cancel", clone_name=self._name(share_id), group_name=group
                )
        with _allowed(errno.ENOENT):
            self._mgr(
                "fs subvolume rm", share_id, force=True, retain_snapshots=bool(found.snapshots)
            )

    def used(self, share_id: str) -> int:
        return self._share(share_id).used

    def mount(self, share_id: str, point: Path, *, read_only: bool = False) -> bool:
        raise Refused("shares in CephFS are not mounted on this host")

    def place(self, share_id: str) -> Place:
        raise Refused("shares in CephFS are not on a device of this host")

    def source(self, share_id: str) -> Source:
        """With a user of Ceph made for it."""
        with errors_sorted(f"share {share_id}"):
            if not self._share(share_id).is_share:
                raise NotThere(f"{self._group} has no share {share_id}")
            about = self._mgr("fs subvolume info", share_id)
            user, filesystem = self._user(share_id), self._cluster.reached.filesystem
            # By `info`: a clone has its source's namespace of objects.
            pool, namespace = about["data_pool"], about["pool_namespace"]
            mode = "r" if share_id.startswith(NO_SHARE) else "rw"
            caps = [
                *("mon", f"allow r fsname={filesystem}"),
                *("mds", f"allow {mode} fsname={filesystem} path={about['path']}"),
                *("osd", f"allow {mode} pool={pool} namespace={namespace}"),
            ]
            entity = f"client.{user}"
            try:
                (made,) = self._cluster.mon("auth get-or-create", entity=entity, caps=caps)
            except CephError as error:
                if error.number != errno.EINVAL:
                    raise
                self._cluster.mon("auth caps", entity=entity, caps=caps)  # it had others
                (made,) = self._cluster.mon("auth get", entity=entity)
            return Source(filesystem, about["path"], user, made["key"])

    def ensure_empty(self, name: str) -> int:
        with errors_sorted(name):
            self._create(name, None, "755")
            path = self._mgr("fs subvolume getpath", name)
            return int(self._cluster.ask("inode", path))

    def counts(self) -> Path | None:
        return None

    def _create(self, share_id: str, size: int | None, mode: str) -> None:
        limit = {} if size is None else {"size": size}
        self._mgr("fs subvolume create", share_id, namespace_isolated=True, mode=mode, **limit)

    def _resize(self, share_id: str, size: int) -> None:
        self._mgr("fs subvolume resize", share_id, new_size=str(size))

    def _is_copied(self, share_id: str) -> bool:
        found = self.contents().get(share_id)
        if found is not None and found.state in ("failed", "canceled"):
            raise Unavailable(f"the copy that {share_id} was to be has {found.state}")
        return found is not None and found.is_share

    def _share(self, share_id: str, found: Contents | None = None) -> Subvolume:
        share = (self.contents() if found is None else found).get(safe_id(share_id))
        if share is None or not share.is_share:
            raise NotThere(f"{self._group} has no share {share_id}")
        return share

    def _require_room(self, share_id: str, size_gib: int, found: Contents) -> None:
        """Raise NoSpace when a share cannot be promised so much. One that is promised it already
        can."""
        known = found.get(safe_id(share_id))
        more = _bytes(size_gib) - (known.size if known else 0)
        if more > 0 and more > (left := self._left()):
            _LOG.warning(
                "CephFS: no room for share %s: %.2f GiB are needed, %.2f GiB are left",
                *(share_id, more / GIB, left / GIB),
            )
            raise NoSpace(f"There is no room for a share of {size_gib} GiB.", is_public=True)

    def _mgr(self, prefix: str, share_id: str, **arguments: object) -> Any:
        name = self._name(share_id)
        return self._cluster.mgr(prefix, sub_name=name, group_name=self._group, **arguments)

    def _name(self, share_id: str) -> str:
        return f"{self._prefix}{safe_id(share_id)}"

    def _user(self, share_id: str) -> str:
        return f"abaca.{self._name(share_id)}"


def _holder(found: Contents, snapshot_id: str) -> str | None:
    """The share that a snapshot is of."""
    return next((name for name, each in found.items() if snapshot_id in each.snapshots), None)


@contextmanager
def _allowed(*numbers: int) -> Iterator[None]:
    try:
        yield
    except CephError as error:
        if error.number not in numbers:
            raise


def _bytes(size_gib: int) -> int:
    """Raises Refused for what is no size, as SQLite may hold it."""
    if not isinstance(size_gib, int) or size_gib < 1:
        raise Refused(f"{size_gib!r} is not a size in GiB")
    return size_gib * GIB
