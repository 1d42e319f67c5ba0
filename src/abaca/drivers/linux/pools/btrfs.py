"""The btrfs pool: one subvolume a share with a limit on what it may hold, and one, read-only, a snapshot. Knows nothing of servers and NFS.

The pool is a file system that the administrator mounted, or a sparse file that is made, formatted and mounted here. All shares and snapshots
are below one folder named after the installation, each by its id, so that a given file system may hold other things.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from abaca.drivers.linux import beneath, mounts
from abaca.drivers.linux.layout import NO_SHARE, require_trusted, safe_id
from abaca.drivers.linux.pools import subvolumes
from abaca.drivers.linux.programs import os_errors_sorted, run
from abaca.errors import NoSpace, OutcomeUnknown, Refused, Unavailable

GIB = 1024**3
MIB = 1024**2
ROOM_TO_GROW = 64 * MIB
"""So much must be free below an image whose pool could not be written, before that is mounted again."""
DATA_ONLY = "noatime,nodev,nosuid,noexec,nosymfollow"
"""How pool, shares and snapshots are mounted. Tenants' files are data: no devices, no set-user-id, nothing to run on this host, and no links that
this host would follow; clients read and follow their links themselves."""
_SUCCESSOR = "-successor"


class NotThere(Refused):
    """The pool does not have the data of this share or snapshot."""


class Capacity(NamedTuple):
    """Bytes."""

    total: int
    free: int


class BtrfsPool:
    """`root`: where the pool is mounted. `image`: the file it lives in, or None when the administrator mounts it."""

    def __init__(self, root: Path, image: Path | None, size_gib: int, folder: str, over_subscription: float) -> None:
        self.root = root
        self._image = image
        self._size_gib = size_gib
        self._folder = folder
        self._over_subscription = over_subscription
        self._lock = threading.Lock()

    def prepare(self, end_users: Callable[[], None]) -> None:
        """Make, mount and check what is missing. Raises Unavailable when the given pool is not a mounted btrfs, or cannot be written.

        `end_users()` ends whoever holds files of it open: for a pool that must be mounted anew, with all that is mounted of it.
        """
        if self._image is not None:
            self._mount_image(self._image)
        mounted = mounts.mount_at(self.root)
        if mounted is None or mounted.filesystem != "btrfs":
            raise Unavailable(f"the pool {self.root} is not a mounted btrfs file system")
        require_trusted(self.root)
        self._ensure_writable(end_users)
        self._enable_quotas()
        self._ensure_folder()

    def _mount_image(self, image: Path) -> None:
        if not image.exists():
            unfinished = image.with_name(f".{image.name}.new")
            with open(unfinished, "wb") as file:
                file.truncate(self._size_gib * GIB)
            run("mkfs.btrfs", "--quiet", "--force", "--label", "abaca", str(unfinished), timeout=300)
            unfinished.chmod(0o600)
            unfinished.replace(image)
        mounted = mounts.mount_at(self.root)
        if mounted is None:
            mounts.mount(str(image), self.root, f"loop,{DATA_ONLY}")
        else:
            mounts.ensure_flags(mounted, DATA_ONLY)

    def _ensure_writable(self, end_users: Callable[[], None]) -> None:
        """One that somebody made read-only comes back. One that the kernel made so, as it could not be written, has to be mounted anew."""
        if not _is_read_only(self.root):
            return
        try:
            run("mount", "-o", "remount,rw", str(self.root))
        except OutcomeUnknown as error:
            if self._image is not None:
                self._mount_anew(self._image, end_users)
            if _is_read_only(self.root):
                raise Unavailable(f"the pool {self.root} is read-only and cannot be made writable: {error.message}") from error

    def _mount_anew(self, image: Path, end_users: Callable[[], None]) -> None:
        """Where the image had no room to grow, and has again. Shares are mounted again with their servers."""
        below = _free(image)
        if below < ROOM_TO_GROW:
            raise Unavailable(f"the pool {self.root} is read-only, as its image {image} has no room to grow: {below // MIB} MiB are free there")
        end_users()
        mounts.unmount(self.root.parent)
        self._mount_image(image)

    def _enable_quotas(self) -> None:
        try:
            run("btrfs", "qgroup", "show", str(self.root))
        except OutcomeUnknown:
            run("btrfs", "quota", "enable", str(self.root))
            run("btrfs", "quota", "rescan", "-w", str(self.root), timeout=600)

    def _ensure_folder(self) -> None:
        """The folder of all shares, for root only."""
        with beneath.folder(self.root) as top:
            with suppress(FileExistsError):
                os.mkdir(self._folder, 0o700, dir_fd=top)
            try:
                with beneath.folder_beneath(top, self._folder) as shares:
                    os.fchmod(shares, 0o700)
            except OSError as error:
                raise Unavailable(f"{self.root / self._folder} must be a folder: {error.strerror}") from error

    def capacity(self) -> Capacity:
        """Raises Unavailable when the pool is not mounted, or cannot be written."""
        self._mounted()
        if _is_read_only(self.root):
            raise Unavailable(f"the pool {self.root} has become read-only: the kernel's log says why")
        pool = os.statvfs(self.root)
        free = _free(self.root)
        if self._image is not None:
            # The image is sparse: it cannot grow further than the file system it lies on has room.
            free = min(free, _free(self._image))
        return Capacity(pool.f_blocks * pool.f_frsize, free)

    def path(self, share_id: str) -> Path:
        """Where an administrator finds it. Not for root to open: see `beneath`."""
        return self.root / self._folder / safe_id(share_id)

    def has(self, share_id: str) -> bool:
        with self._opened() as pool:
            return pool.holds(share_id)

    def share_ids(self) -> list[str]:
        """The shares and snapshots that the pool has data of. Raises Unavailable when it is not mounted."""
        with self._opened() as pool:
            names = [each.name for each in subvolumes.subvolumes(pool.shares)]
        return sorted(name for name in names if not name.startswith(NO_SHARE))

    def create(self, share_id: str, size_gib: int) -> None:
        """Make sure of a share's subvolume and its limit. Everybody may write its root, as access is what the export's rules say. Raises NoSpace."""
        with self._lock, self._opened() as pool:
            self._require_room(pool, share_id, size_gib)
            if not pool.holds(share_id):
                subvolumes.create(pool.shares, safe_id(share_id))
            with pool.subvolume(share_id) as share:
                _set_limit(pool, share, size_gib)
                os.fchmod(share, 0o777)

    def ensure_empty(self, name: str) -> int:
        """Make sure of a subvolume that is no share: it has no limit, so nothing is promised, and nobody may write to it. Returns its number."""
        with self._lock, self._opened() as pool:
            if not pool.holds(name):
                subvolumes.create(pool.shares, safe_id(name))
            with pool.subvolume(name) as found:
                return subvolumes.number_of(found)

    def snapshot(self, snapshot_id: str, share_id: str) -> None:
        """Make sure of a read-only copy of what a share holds now."""
        with self._lock, self._opened() as pool:
            if not pool.holds(snapshot_id):
                with pool.subvolume(share_id) as share:
                    subvolumes.snapshot(pool.shares, safe_id(snapshot_id), share, read_only=True)

    def clone(self, share_id: str, snapshot_id: str, size_gib: int) -> None:
        """Make sure of a share with what a snapshot holds. Raises NoSpace."""
        with self._lock, self._opened() as pool:
            self._require_room(pool, share_id, size_gib)
            if not pool.holds(share_id):
                with pool.subvolume(snapshot_id) as snapshot:
                    subvolumes.snapshot(pool.shares, safe_id(share_id), snapshot, read_only=False)
            with pool.subvolume(share_id) as share:
                _set_limit(pool, share, size_gib)

    def revert(
        self, share_id: str, snapshot_id: str, size_gib: int, unused: AbstractContextManager[object]
    ) -> None:
        """Exchange what a share holds for what a snapshot holds. Raises NoSpace, the share being as it was.

        `unused` is entered for the moment of the exchange: in it the share is mounted and exported nowhere.
        Cut off anywhere, it leaves the share with the one or the other, and can be done again.
        """
        successor = f"{safe_id(share_id)}{_SUCCESSOR}"
        with self._opened() as pool:
            with self._lock, pool.subvolume(snapshot_id) as snapshot:
                pool.destroy(successor)  # of a call that was lost
                self._require_room(pool, share_id, size_gib)
                subvolumes.snapshot(pool.shares, successor, snapshot, read_only=False)
                with pool.subvolume(successor) as share:
                    _set_limit(pool, share, size_gib)
            with unused:
                beneath.exchange(pool.shares, share_id, successor)
            pool.destroy(successor)

    def resize(self, share_id: str, size_gib: int) -> None:
        """Set the limit. Raises NoSpace when the pool cannot promise so much; Refused when the share holds more."""
        with self._lock, self._opened() as pool, pool.subvolume(share_id) as share:
            now = _counted(pool, share)
            if now.referenced > _bytes(size_gib):
                raise Refused(f"share {share_id} holds {now.referenced / GIB:.2f} GiB, which does not fit in {size_gib} GiB")
            if now.limit is None or _bytes(size_gib) > now.limit:
                self._require_room(pool, share_id, size_gib)
            _set_limit(pool, share, size_gib)

    def ensure_limits(self, sizes_gib: Mapping[str, int]) -> None:
        """Set the limits of shares (id → GiB) again that are others, whatever the shares hold."""
        with self._opened() as pool:
            limits = _limits(pool) if sizes_gib else {}
            for share_id, size_gib in sizes_gib.items():
                if limits.get(share_id) != _bytes(size_gib):
                    with pool.subvolume(share_id) as share:
                        _set_limit(pool, share, size_gib)

    def delete(self, share_id: str) -> None:
        """Delete a share's data, or a snapshot. Nothing there is success. The space comes back a little later."""
        with self._opened() as pool:  # mounted, or nothing would be there, and its deletion a success
            pool.destroy(f"{safe_id(share_id)}{_SUCCESSOR}")
            pool.destroy(share_id)

    def used(self, share_id: str) -> int:
        """Bytes that a share holds, written ones that are still in memory included."""
        with self._opened() as pool, pool.subvolume(share_id) as share:
            return _counted(pool, share).referenced

    def mount(self, share_id: str, point: Path, *, read_only: bool = False) -> bool:
        """Mount a share or a snapshot by itself at `point`; True when that was to be done. A stale mount there is replaced.

        Ganesha does not export a subvolume that is merely a folder of a mounted pool.
        """
        with self._opened() as pool, pool.subvolume(share_id) as share:
            wanted = f"subvolid={subvolumes.number_of(share)}"
        flags = f"{DATA_ONLY},ro" if read_only else DATA_ONLY
        found = mounts.mounts_below(point)
        if len(found) == 1 and wanted in found[0].options and found[0].filesystem == "btrfs":
            mounts.ensure_flags(found[0], flags)
            return False
        mounts.unmount(point)
        mounts.mount(self._mounted().source, point, f"{wanted},{flags}")
        return True

    def _mounted(self) -> mounts.Mount:
        pool = mounts.mount_at(self.root)
        if pool is None:
            raise Unavailable(f"the pool {self.root} is not mounted")
        return pool

    @contextmanager
    def _opened(self) -> Iterator[_Opened]:
        """Raises Unavailable when the pool is not mounted."""
        self._mounted()
        with os_errors_sorted("the pool"), beneath.folder(self.root) as top, beneath.folder_beneath(top, self._folder) as shares:
            yield _Opened(top, shares)

    def _require_room(self, pool: _Opened, share_id: str, size_gib: int) -> None:
        capacity = self.capacity()
        promised = sum(limit for name, limit in _limits(pool).items() if name != share_id)
        room = int(capacity.total * self._over_subscription) - promised
        if _bytes(size_gib) > room:
            raise NoSpace(f"the pool has {max(room, 0) / GIB:.1f} GiB left to promise, {size_gib} GiB are asked for")
        if capacity.free == 0 and not pool.holds(share_id):
            raise NoSpace("the pool is full")


class _Opened(NamedTuple):
    """Descriptors of a pool's top and of the folder in it that shares and snapshots are in, each by its id."""

    top: int
    shares: int

    def holds(self, name: str) -> bool:
        try:
            with self.subvolume(name):
                return True
        except NotThere:
            return False

    @contextmanager
    def subvolume(self, name: str) -> Iterator[int]:
        """A descriptor of a share's or a snapshot's own folder. Raises Refused when it is not there, or something else is in its place."""
        try:
            descriptor = beneath.open_beneath(self.shares, safe_id(name), os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise _as_refused(name, error) from error
        try:
            if os.fstat(descriptor).st_ino != subvolumes.FIRST_INODE:
                raise Refused(f"a folder is where the data of {name} should be in the pool")
            yield descriptor
        finally:
            os.close(descriptor)

    def destroy(self, name: str) -> None:
        """Nothing there is success."""
        if self.holds(name):
            subvolumes.destroy(self.shares, safe_id(name))


def _as_refused(name: str, error: OSError) -> Exception:
    if error.errno == errno.ENOENT:
        return NotThere(f"the data of {name} is not in the pool")
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV):
        return Refused(f"something else is where the data of {name} should be in the pool: {error.strerror}")
    return error


def _free(path: Path) -> int:
    """Bytes that may still be written to the file system that the path is on."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _limits(pool: _Opened) -> dict[str, int]:
    """Bytes promised by share id: once where a revert that was cut off has left two subvolumes of a share, and nothing for snapshots, which
    inherit the limit of their share."""
    groups = subvolumes.groups(pool.top)
    promised: dict[str, int] = {}
    for found in subvolumes.subvolumes(pool.shares):
        limit = groups[found.number].limit if found.number in groups else None
        if limit is not None and not found.is_read_only:
            share_id = found.name.removesuffix(_SUCCESSOR)
            promised[share_id] = max(limit, promised.get(share_id, 0))
    return promised


def _counted(pool: _Opened, subvolume: int) -> subvolumes.Group:
    """What it holds, with all that is still in memory."""
    subvolumes.store(pool.top)
    number = subvolumes.number_of(subvolume)
    found = subvolumes.groups(pool.top).get(number)
    if found is None:
        raise OutcomeUnknown(f"btrfs does not count what its subvolume {number} holds")
    return found


def _set_limit(pool: _Opened, subvolume: int, size_gib: int) -> None:
    subvolumes.set_limit(pool.top, subvolumes.number_of(subvolume), _bytes(size_gib))


def _bytes(size_gib: int) -> int:
    """Raises Refused for what is no size, as SQLite may hold it: text times a billion would fill the memory."""
    if not isinstance(size_gib, int) or size_gib < 1:
        raise Refused(f"{size_gib!r} is no size in GiB")
    return size_gib * GIB
