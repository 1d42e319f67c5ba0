"""The btrfs pool: one subvolume a share with a limit on what it may hold, and one, read-only, a
snapshot. Knows nothing of servers and NFS.

The pool is a file system that the administrator mounted, or an image that is made and mounted here
(`image.py`). All shares and snapshots are below one folder named after the installation, each by
its id, so that a given file system may hold other things.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal

from abaca.drivers.linux import beneath, loops, mounts
from abaca.drivers.linux.layout import require_trusted, safe_id
from abaca.drivers.linux.pools import subvolumes
from abaca.drivers.linux.pools.contents import NO_SHARES, SUCCESSOR, Contents
from abaca.drivers.linux.pools.image import Image
from abaca.drivers.linux.pools.interface import Capacity, NotThere, Place
from abaca.drivers.linux.pools.room import GIB, MIB
from abaca.drivers.linux.pools.tidying import Tidying
from abaca.drivers.linux.programs import os_errors_sorted, run
from abaca.drivers.linux.storage import Source
from abaca.errors import NoSpace, OutcomeUnknown, Refused, Unavailable

ROOM_TO_GROW = 64 * MIB
"""So much must be free below an image whose pool could not be written, before that is mounted
again."""
DATA_ONLY = "noatime,nodev,nosuid,noexec,nosymfollow"
"""How pool, shares and snapshots are mounted. Tenants' files are data: no devices, no set-user-id,
nothing to run on this host, and no links that this host would follow; clients read and follow their
links themselves."""
_COUNT_ALWAYS = "8"  # the height of the highest tree that there can be
_LOG = logging.getLogger(__name__)


class BtrfsPool:
    """`root`: where the pool is mounted. `image`: the file it lives in, or None when the
    administrator mounts it. `folder`: the one in it that all shares and snapshots are in.
    `over_subscription`: how many times it may be promised."""

    def __init__(
        self, root: Path, image: Image | None, folder: str, over_subscription: float
    ) -> None:
        self.root = root
        self._image = image
        self._folder = folder
        self._over_subscription = over_subscription
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self._tidying = Tidying(root)

    def prepare(self, end_users: Callable[[], None]) -> None:
        """Make, mount and check what is missing. Raises Unavailable when the given pool is not a
        mounted btrfs, or cannot be written.

        `end_users()` ends whoever holds files of it open: for a pool that must be mounted anew,
        with all that is mounted of it.
        """
        if self._image is not None:
            self._image.ensure_mounted(self.root, DATA_ONLY)
        mounted = mounts.mount_at(self.root)
        if mounted is None or mounted.filesystem != "btrfs":
            raise Unavailable(f"the pool {self.root} is not a mounted btrfs file system")
        require_trusted(self.root)
        self._ensure_writable(end_users)
        self._ensure_counting()
        self._ensure_folder()

    def _ensure_writable(self, end_users: Callable[[], None]) -> None:
        """One that somebody made read-only comes back. One that the kernel made so, as it could not
        be written, has to be mounted anew."""
        if not _is_read_only(self.root):
            return
        try:
            run("mount", "-o", "remount,rw", str(self.root))
        except OutcomeUnknown as error:
            if self._image is not None:
                self._mount_anew(self._image, end_users)
            if _is_read_only(self.root):
                raise Unavailable(
                    f"the pool {self.root} is read-only and cannot be made writable: "
                    f"{error.message}"
                ) from error

    def _mount_anew(self, image: Image, end_users: Callable[[], None]) -> None:
        """Where the image had no room to grow, and has again. Shares are mounted again with their
        servers."""
        below = image.free_below()
        if image.is_sparse and below < ROOM_TO_GROW:
            raise Unavailable(
                f"the pool {self.root} is read-only, as its image {image.path} has no room to "
                f"grow: {below // MIB} MiB are free there"
            )
        end_users()
        mounts.unmount(self.root.parent)
        loops.await_detached(
            [str(image.path)]
        )  # mount(8) would take the device that is about to go
        image.ensure_mounted(self.root, DATA_ONLY)

    def _ensure_counting(self) -> None:
        """Limits hold only while btrfs counts what each share holds."""
        with beneath.folder(self.root) as top:
            counting = subvolumes.settings(top) / "qgroups"
            if not counting.is_dir():
                run("btrfs", "quota", "enable", str(self.root))
                run("btrfs", "quota", "rescan", "-w", str(self.root), timeout=600)
            # Else newer kernels stop counting, and with it all limits, when a large share or
            # snapshot is deleted.
            with suppress(FileNotFoundError):  # older ones
                (counting / "drop_subtree_threshold").write_text(_COUNT_ALWAYS)
            if _has_miscounted(counting):
                run("btrfs", "quota", "rescan", "-w", str(self.root), timeout=600)
            if (subvolumes.settings(top) / "allocation/metadata/dup").is_dir():
                _LOG.warning(
                    "the pool %s keeps metadata twice: small files take twice what they count, "
                    "and promises can be broken",
                    self.root,
                )

    def _ensure_folder(self) -> None:
        """The folder of all shares, for root only."""
        with beneath.folder(self.root) as top:
            with suppress(FileExistsError):
                os.mkdir(self._folder, 0o700, dir_fd=top)
            try:
                with beneath.folder_beneath(top, self._folder) as shares:
                    os.fchmod(shares, 0o700)
            except OSError as error:
                raise Unavailable(
                    f"{self.root / self._folder} must be a folder: {error.strerror}"
                ) from error

    def capacity(self) -> Capacity:
        """Raises Unavailable when the pool is not mounted, or cannot be written."""
        with self._opened() as pool:
            if _is_read_only(self.root):
                raise Unavailable(
                    f"the pool {self.root} has become read-only: the kernel's log says why"
                )
            room = pool.room()
            settings = subvolumes.settings(pool.top)
            self._tidying.see_to(settings, room)
            if _has_miscounted(settings / "qgroups"):
                _LOG.warning(
                    "btrfs no longer knows what the shares of the pool %s hold: it counts again",
                    self.root,
                )
                run("btrfs", "quota", "rescan", str(self.root))
        lacking = -room.left(self._over_subscription)
        self._say_once(
            "short",
            lacking > 0
            and f"it lacks {lacking / GIB:.2f} GiB to keep all its promises: add room, or delete "
            "snapshots",
        )
        free = room.free
        if self._image is not None:
            self._say_once("reserved", _reserved_again(self._image))
            free = min(free, self._image.free_below()) if self._image.is_sparse else free
        return Capacity(room.total, free, room.kept_beside)

    def _say_once(self, subject: str, complaint: str | Literal[False]) -> None:
        """When it begins: this is looked at every few seconds."""
        if complaint and subject not in self._said:
            _LOG.warning("the pool %s: %s", self.root, complaint)
            self._said.add(subject)
        elif not complaint:
            self._said.discard(subject)

    def path(self, share_id: str) -> Path:
        """Where an administrator finds it. Not for root to open: see `beneath`."""
        return self.root / self._folder / safe_id(share_id)

    def has(self, share_id: str) -> bool:
        with self._opened() as pool:
            return pool.holds(share_id)

    def share_ids(self) -> list[str]:
        """The shares and snapshots that the pool has data of. Raises Unavailable when it is not
        mounted."""
        with self._opened() as pool:
            names = [each.name for each in subvolumes.subvolumes(pool.shares)]
        return sorted(name for name in names if not name.startswith(NO_SHARES))

    def files(self, ending: str) -> list[str]:
        """Names of the files that end so, beside the shares. Raises Unavailable when the pool is
        not mounted."""
        with self._opened() as pool:
            return sorted(name for name in os.listdir(pool.shares) if name.endswith(ending))

    def remove_file(self, name: str) -> None:
        """Remove a file beside the shares, and say so on stable storage. Nothing there is
        success."""
        with self._opened() as pool:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=pool.shares)
            subvolumes.commit(pool.top)

    def commit(self) -> None:
        """Have what was changed on stable storage, and what was reserved counted as taken."""
        with self._opened() as pool:
            subvolumes.commit(pool.top)

    def left(self) -> int:
        """Bytes that may still be promised."""
        with self._opened() as pool:
            return pool.room().left(self._over_subscription)

    def create(self, share_id: str, size_gib: int) -> None:
        """Make sure of a share's subvolume and its limit. Everybody may write its root, as access
        is what the export's rules say. Raises NoSpace."""
        with self._lock, self._opened() as pool:
            self._require_room(pool, share_id, size_gib)
            if not pool.holds(share_id):
                subvolumes.create(pool.shares, safe_id(share_id))
            with pool.subvolume(share_id) as share:
                os.fchmod(share, 0o777)
                _set_limit(pool, share, size_gib)

    def adopt(self, share_id: str, name: str) -> int:
        """Make sure that the subvolume `name` beside the shares is that of a share, which is known
        by `share_id` from then on, and of its limit; returns the size. Raises NotThere, Refused,
        NoSpace."""
        with self._lock, self._opened() as pool:
            found = share_id if pool.holds(share_id) else name  # renamed by a call that was lost
            with pool.subvolume(found) as share:
                _require_adoptable(found, share)
                subvolumes.store(pool.top)
                group = pool.group(subvolumes.number_of(share))
                size_gib = max(-(-(group.limit or group.referenced) // GIB), 1)
                if found != share_id:
                    self._require_room(pool, found, size_gib)
                    os.rename(found, share_id, src_dir_fd=pool.shares, dst_dir_fd=pool.shares)
                    _LOG.info("pool %s: subvolume %s is now %s", self.root, found, share_id)
                self._require_room(pool, share_id, size_gib)
                _set_limit(pool, share, size_gib)
        return size_gib

    def ensure_empty(self, name: str) -> int:
        """Make sure of a subvolume that is no share: it has no limit, so nothing is promised, and
        nobody may write to it. Returns its number."""
        with self._lock, self._opened() as pool:
            if not pool.holds(name):
                subvolumes.create(pool.shares, safe_id(name))
            with pool.subvolume(name) as found:
                return subvolumes.number_of(found)

    def snapshot(self, snapshot_id: str, share_id: str) -> None:
        """Make sure of a read-only copy of what a share holds now. Raises NoSpace, and leaves none,
        when a promise could not be kept beside it."""
        with self._lock, self._opened() as pool:
            if not pool.holds(snapshot_id):
                self._require_room_to_keep(pool, [share_id])
                with pool.subvolume(share_id) as share:
                    subvolumes.snapshot(pool.shares, safe_id(snapshot_id), share, read_only=True)
            try:  # what was written a moment before is counted only now
                self._require_room_to_keep(pool, [share_id], are_kept=True)
            except NoSpace:
                pool.destroy(snapshot_id)
                raise

    def snapshot_all(
        self, snapshots: Mapping[str, str], still: AbstractContextManager[object]
    ) -> None:
        """Take read-only copies of what several shares hold, of one instant. Raises NoSpace, and
        whatever `still` raises, and leaves none."""
        with self._lock, self._opened() as pool, ExitStack() as undone:
            share_ids = [*snapshots.values()]
            for snapshot_id in snapshots:
                pool.destroy(snapshot_id)  # of a call that was lost
                undone.callback(pool.destroy, snapshot_id)
            self._require_room_to_keep(pool, share_ids)
            subvolumes.store(pool.top)  # before, so that the moment is short
            with still:
                for snapshot_id, share_id in snapshots.items():
                    with pool.subvolume(share_id) as share:
                        subvolumes.snapshot(
                            pool.shares, safe_id(snapshot_id), share, read_only=True
                        )
            self._require_room_to_keep(pool, share_ids, are_kept=True)
            undone.pop_all()

    def is_snapshot_of(self, snapshot_id: str, share_id: str) -> bool:
        """Whether there is a read-only copy by that id of what this very share holds or held: taken
        of it since it was last reverted, or what it was reverted to."""
        with self._opened() as pool:
            try:
                with pool.subvolume(snapshot_id) as snapshot, pool.subvolume(share_id) as share:
                    copy, original = subvolumes.origin_of(snapshot), subvolumes.origin_of(share)
            except NotThere:
                return False
        is_related = copy.source == original.id or original.source == copy.id
        return copy.is_read_only and not original.is_read_only and is_related

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
        """Exchange what a share holds for what a snapshot holds. Raises NoSpace, the share being as
        it was.

        `unused` is entered for the moment of the exchange: in it the share is mounted and exported
        nowhere. Cut off anywhere, it leaves the share with the one or the other, and can be done
        again.
        """
        successor = f"{safe_id(share_id)}{SUCCESSOR}"
        with self._opened() as pool:
            with self._lock, pool.subvolume(share_id), pool.subvolume(snapshot_id) as snapshot:
                pool.destroy(successor)  # of a call that was lost
                self._require_room(pool, share_id, size_gib)
                subvolumes.snapshot(pool.shares, successor, snapshot, read_only=False)
                with pool.subvolume(successor) as share:
                    _set_limit(pool, share, size_gib)
            try:
                with unused:
                    beneath.exchange(pool.shares, share_id, successor)
            finally:
                pool.destroy(successor)
            subvolumes.commit(pool.top)

    def resize(self, share_id: str, size_gib: int) -> None:
        """Set the limit. Raises NoSpace when the pool cannot promise so much; Refused when the
        share holds more."""
        with self._lock, self._opened() as pool, pool.subvolume(share_id) as share:
            subvolumes.store(pool.top)
            holds = pool.group(subvolumes.number_of(share)).referenced
            if holds > _bytes(size_gib):
                raise Refused(
                    f"share {share_id} holds {holds / GIB:.2f} GiB, which does not fit in "
                    f"{size_gib} GiB",
                    is_public=True,
                )
            self._require_room(pool, share_id, size_gib)
            _set_limit(pool, share, size_gib)

    def ensure_limits(self, sizes_gib: Mapping[str, int]) -> None:
        """Set the limits of shares (id → GiB) again that are others, whatever the shares hold."""
        with self._opened() as pool:
            promises = pool.promises() if sizes_gib else {}
            for share_id, size_gib in sizes_gib.items():
                if share_id not in promises or promises[share_id].size != _bytes(size_gib):
                    with pool.subvolume(share_id) as share:
                        _set_limit(pool, share, size_gib)

    def delete(self, share_id: str) -> None:
        """Delete a share's data, or a snapshot. Nothing there is success. The space comes back a
        little later."""
        # mounted, or nothing would be there, and its deletion a success
        with self._opened() as pool:
            pool.destroy(f"{safe_id(share_id)}{SUCCESSOR}")
            pool.destroy(share_id)
            subvolumes.commit(pool.top)

    def used(self, share_id: str) -> int:
        """Bytes that a share holds, written ones that are still in memory included."""
        with self._opened() as pool, pool.subvolume(share_id) as share:
            subvolumes.store(pool.top)
            return pool.group(subvolumes.number_of(share)).referenced

    def used_by_share(self) -> dict[str, int]:
        """Bytes that each share holds, by its id, as btrfs has counted them at its last commit,
        half a minute ago at most."""
        with self._opened() as pool:
            return pool.used()

    def end_clients(self) -> list[str]:
        return []

    def counts(self) -> Path:
        """The folder in which the kernel tells what each subvolume holds and may hold."""
        with self._opened() as pool:
            return subvolumes.settings(pool.top) / "qgroups"

    def mount(self, share_id: str, point: Path, *, read_only: bool = False) -> bool:
        """Mount a share or a snapshot by itself at `point`; True when that was to be done. A stale
        mount there is replaced.

        Ganesha does not export a subvolume that is merely a folder of a mounted pool.
        """
        source, wanted = self.place(share_id)
        flags = f"{DATA_ONLY},ro" if read_only else DATA_ONLY
        found = mounts.mounts_below(point)
        if len(found) == 1 and wanted in found[0].options and found[0].filesystem == "btrfs":
            mounts.ensure_flags(found[0], flags)
            return False
        mounts.unmount(point)
        mounts.mount(source, point, f"{wanted},{flags}")
        return True

    def source(self, share_id: str) -> Source | None:
        return None

    def place(self, share_id: str) -> Place:
        """How a share or snapshot is mounted by itself."""
        with self._opened() as pool, pool.subvolume(share_id) as share:
            return Place(self._mounted().source, f"subvolid={subvolumes.number_of(share)}")

    def _mounted(self) -> mounts.Mount:
        pool = mounts.mount_at(self.root)
        if pool is None:
            raise Unavailable(f"the pool {self.root} is not mounted")
        return pool

    @contextmanager
    def _opened(self) -> Iterator[Contents]:
        """Raises Unavailable when the pool is not mounted."""
        self._mounted()
        with (
            os_errors_sorted("the pool"),
            beneath.folder(self.root) as top,
            beneath.folder_beneath(top, self._folder) as shares,
        ):
            yield Contents(top, shares)

    def _require_room(self, pool: Contents, share_id: str, size_gib: int) -> None:
        """Raise NoSpace when a share cannot be promised so much. One that is promised it already
        can."""
        promises = pool.promises()
        more = _bytes(size_gib) - (promises[share_id].size if share_id in promises else 0)
        if more > 0 and self._lacks(pool, more, f"share {share_id}"):
            raise NoSpace(f"There is no room for a share of {size_gib} GiB.", is_public=True)

    def _require_room_to_keep(
        self, pool: Contents, share_ids: Sequence[str], *, are_kept: bool = False
    ) -> None:
        """Raise NoSpace when snapshots of shares, one of each, cost another share its room.
        `are_kept`: they have been taken, and are counted already."""
        shares = [pool.group(pool.number_of(share_id)) for share_id in share_ids]
        more = 0 if are_kept else sum(share.exclusive for share in shares)
        if self._lacks(pool, more, f"a snapshot of share {', '.join(share_ids)}"):
            held = sum(share.referenced for share in shares)
            size = sum(share.limit or 0 for share in shares)
            noun, holds, whose = "share", "holds", "share's"
            if len(shares) > 1:
                noun, holds, whose = "shares", "hold", "shares'"
            raise NoSpace(
                f"There is no room for a snapshot: it would keep what the {noun} {holds}, "
                f"{held / GIB:.2f} GiB, beside the {whose} size of {size // GIB} GiB. Delete older "
                f"snapshots, or shrink the {noun}.",
                is_public=True,
            )

    def _lacks(self, pool: Contents, more: int, what: str) -> bool:
        """Whether the pool cannot keep its promises and so many bytes more; the administrator gets
        the figures."""
        room = pool.room()
        left = room.left(self._over_subscription)
        if more > left:
            _LOG.warning(
                "pool %s: no room for %s: %.2f GiB are needed, %.2f GiB are left. Promised: %.2f "
                "of %.2f GiB; kept beside, by snapshots: %.2f GiB",
                *(
                    self.root,
                    what,
                    more / GIB,
                    left / GIB,
                    room.promised / GIB,
                    room.total / GIB,
                    room.kept_beside / GIB,
                ),
            )
        return more > left


def _reserved_again(image: Image) -> str | Literal[False]:
    """False, or why it cannot be."""
    try:
        image.ensure_reserved()
    except (Unavailable, NoSpace) as error:
        return error.message
    return False


def _has_miscounted(counting: Path) -> bool:
    try:
        return (counting / "inconsistent").read_text().strip() == "1"
    except FileNotFoundError:  # older kernels
        return False


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _require_adoptable(name: str, subvolume: int) -> None:
    """Raise Refused for what cannot be the data of a share."""
    if name.startswith(NO_SHARES) or name.endswith(SUCCESSOR):
        raise Refused(f"{name} is something of the back end's own in the pool", is_public=True)
    if subvolumes.origin_of(subvolume).is_read_only:
        raise Refused(f"{name} is a snapshot, or read-only, in the pool", is_public=True)
    if subvolumes.has_inner(subvolume):
        raise Refused(
            f"{name} has subvolumes in it, which would not count against the size of the share",
            is_public=True,
        )


def _set_limit(pool: Contents, subvolume: int, size_gib: int) -> None:
    """Last of a change: what a caller has been confirmed outlives a power cut."""
    subvolumes.set_limit(pool.top, subvolumes.number_of(subvolume), _bytes(size_gib))
    subvolumes.commit(pool.top)


def _bytes(size_gib: int) -> int:
    """Raises Refused for what is no size, as SQLite may hold it: text times a billion would fill
    the memory."""
    if not isinstance(size_gib, int) or size_gib < 1:
        raise Refused(f"{size_gib!r} is not a size in GiB")
    return size_gib * GIB
