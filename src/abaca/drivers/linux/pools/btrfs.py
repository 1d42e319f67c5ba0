"""The btrfs pool: one subvolume a share with a limit on what it may hold, and one, read-only, a snapshot. Knows nothing of servers and NFS.

The pool is a file system that the administrator mounted, or a sparse file that is made, formatted and mounted here. All shares and snapshots
are below one folder named after the installation, each by its id, so that a given file system may hold other things.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from abaca.drivers.linux import mounts
from abaca.drivers.linux.layout import private_folder, require_trusted, safe_id
from abaca.drivers.linux.programs import run
from abaca.errors import NoSpace, OutcomeUnknown, Refused, Unavailable

GIB = 1024**3
MIB = 1024**2
ROOM_TO_GROW = 64 * MIB
"""So much must be free below an image whose pool could not be written, before that is mounted again."""
BTRFS_IOC_INO_LOOKUP = 0xD0009412  # with tree 0 and the first object: which subvolume is this folder in
FIRST_FREE_OBJECTID = 256
# A tenant's files are data only: no device nodes, no set-user-id, nothing to run on this host.
SHARE_MOUNT_OPTIONS = "noatime,nodev,nosuid,noexec"
_SUCCESSOR = "-successor"


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
        self._shares = root / folder
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
        private_folder(self._shares)

    def _mount_image(self, image: Path) -> None:
        if not image.exists():
            unfinished = image.with_name(f".{image.name}.new")
            with open(unfinished, "wb") as file:
                file.truncate(self._size_gib * GIB)
            run("mkfs.btrfs", "--quiet", "--force", "--label", "abaca", str(unfinished), timeout=300)
            unfinished.chmod(0o600)
            unfinished.replace(image)
        if mounts.mount_at(self.root) is None:
            mounts.mount(str(image), self.root, "loop,noatime")

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
        return self._shares / safe_id(share_id)

    def has(self, share_id: str) -> bool:
        return self.path(share_id).is_dir()

    def share_ids(self) -> list[str]:
        """The shares and snapshots that the pool has data of. Raises Unavailable when it is not mounted."""
        self._mounted()
        return sorted(os.listdir(self._shares))

    def create(self, share_id: str, size_gib: int) -> None:
        """Make sure of a share's subvolume and its limit. Everybody may write its root, as access is what the export's rules say. Raises NoSpace."""
        path = self.path(share_id)
        with self._lock:
            self._require_room(share_id, size_gib)
            if not path.is_dir():
                run("btrfs", "subvolume", "create", str(path))
            self._set_limit(path, size_gib)
        path.chmod(0o777)

    def snapshot(self, snapshot_id: str, share_id: str) -> None:
        """Make sure of a read-only copy of what a share holds now."""
        path = self.path(snapshot_id)
        with self._lock:
            if not path.is_dir():
                run("btrfs", "subvolume", "snapshot", "-r", str(self._require(share_id)), str(path), timeout=300)

    def clone(self, share_id: str, snapshot_id: str, size_gib: int) -> None:
        """Make sure of a share with what a snapshot holds. Raises NoSpace."""
        path = self.path(share_id)
        with self._lock:
            self._require_room(share_id, size_gib)
            if not path.is_dir():
                run("btrfs", "subvolume", "snapshot", str(self._require(snapshot_id)), str(path))
            self._set_limit(path, size_gib)

    def revert(self, share_id: str, snapshot_id: str, size_gib: int) -> None:
        """Replace what a share, exported and mounted nowhere, holds by what a snapshot holds. Raises NoSpace, the share being as it was."""
        path, successor = self.path(share_id), self._successor(share_id)
        with self._lock:
            source = self._require(snapshot_id)
            self._delete(successor)  # of a call that was lost
            self._require_room(share_id, size_gib)
            run("btrfs", "subvolume", "snapshot", str(source), str(successor))
            self._set_limit(successor, size_gib)
            self._delete(path)
            successor.rename(path)

    def resize(self, share_id: str, size_gib: int) -> None:
        """Set the limit. Raises NoSpace when the pool cannot promise so much; Refused when the share holds more."""
        path = self._require(share_id)
        with self._lock:
            used, limit = self._usage(path)
            if used > _bytes(size_gib):
                raise Refused(f"share {share_id} holds {used / GIB:.2f} GiB, which does not fit in {size_gib} GiB")
            if limit is None or _bytes(size_gib) > limit:
                self._require_room(share_id, size_gib)
            self._set_limit(path, size_gib)

    def ensure_limits(self, sizes_gib: Mapping[str, int]) -> None:
        """Set the limits of shares (id → GiB) again that are others, whatever the shares hold."""
        limits = self._limits() if sizes_gib else {}
        for share_id, size_gib in sizes_gib.items():
            if limits.get(share_id) != _bytes(size_gib):
                self._set_limit(self._require(share_id), size_gib)

    def delete(self, share_id: str) -> None:
        """Delete a share's data, or a snapshot. Nothing there is success. The space comes back a little later."""
        self._mounted()  # or nothing would be there, and its deletion a success
        self._delete(self._successor(share_id))
        self._delete(self.path(share_id))

    def used(self, share_id: str) -> int:
        """Bytes that a share holds, written ones that are still in memory included."""
        return self._usage(self._require(share_id))[0]

    def mount(self, share_id: str, point: Path, *, read_only: bool = False) -> bool:
        """Mount a share or a snapshot by itself at `point`; True when that was to be done. A stale mount there is replaced.

        Ganesha does not export a subvolume that is merely a folder of a mounted pool.
        """
        wanted = f"subvolid={_subvolume_id(self._require(share_id))}"
        found = mounts.mounts_below(point)
        if len(found) == 1 and wanted in found[0].options and found[0].filesystem == "btrfs":
            return False
        mounts.unmount(point)
        mounts.mount(self._mounted().source, point, f"{wanted},{SHARE_MOUNT_OPTIONS}{',ro' if read_only else ''}")
        return True

    def _mounted(self) -> mounts.Mount:
        pool = mounts.mount_at(self.root)
        if pool is None:
            raise Unavailable(f"the pool {self.root} is not mounted")
        return pool

    def _successor(self, share_id: str) -> Path:
        """What takes the place of a share's data when it is reverted."""
        return self.path(f"{share_id}{_SUCCESSOR}")

    def _delete(self, path: Path) -> None:
        if path.is_dir():
            run("btrfs", "subvolume", "delete", str(path), timeout=300)

    def _require(self, share_id: str) -> Path:
        path = self.path(share_id)
        if not path.is_dir():
            raise Refused(f"the data of {share_id} is not in the pool")
        return path

    def _require_room(self, share_id: str, size_gib: int) -> None:
        capacity = self.capacity()
        promised = sum(limit for name, limit in self._limits().items() if name != share_id)
        room = int(capacity.total * self._over_subscription) - promised
        if _bytes(size_gib) > room:
            raise NoSpace(f"the pool has {max(room, 0) / GIB:.1f} GiB left to promise, {size_gib} GiB are asked for")
        if not self.has(share_id) and capacity.free == 0:
            raise NoSpace("the pool is full")

    def _limits(self) -> dict[str, int]:
        """Bytes promised by share id: once where a revert that was cut off has left two subvolumes of a share, and nothing for snapshots, which
        inherit the limit of their share. Quota groups outlive their subvolumes, so only those of present ones count."""
        snapshots = self._numbers("-r")
        names = {number: name for number, name in self._numbers().items() if number not in snapshots}
        groups = (line.split() for line in run("btrfs", "qgroup", "show", "-r", "--raw", str(self.root)).splitlines())
        limits = {fields[0].removeprefix("0/"): int(fields[3]) for fields in groups if len(fields) >= 4 and fields[3].isdecimal()}
        promised: dict[str, int] = {}
        for number, limit in limits.items():
            if number in names:
                share_id = names[number].removesuffix(_SUCCESSOR)
                promised[share_id] = max(limit, promised.get(share_id, 0))
        return promised

    def _numbers(self, *options: str) -> dict[str, str]:
        """The names of the pool's subvolumes by their numbers; `-r`: of those that are read-only."""
        lines = (line.split(" ", 8) for line in run("btrfs", "subvolume", "list", *options, str(self.root)).splitlines())
        return {fields[1]: Path(fields[8]).name for fields in lines}  # ID 256 gen 8 top level 5 path abaca/<id>

    def _usage(self, path: Path) -> tuple[int, int | None]:
        """(bytes held, limit in bytes or None) of one subvolume."""
        shown = run("btrfs", "qgroup", "show", "-r", "-f", "--raw", "--sync", str(path), timeout=300)
        for fields in (line.split() for line in shown.splitlines()):
            if fields and fields[0] == f"0/{_subvolume_id(path)}":
                return int(fields[1]), int(fields[3]) if fields[3].isdecimal() else None
        raise OutcomeUnknown(f"btrfs does not count what {path.name} holds")

    def _set_limit(self, path: Path, size_gib: int) -> None:
        # By group id and the pool's path: by the subvolume's own path it fails on a share that is full.
        run("btrfs", "qgroup", "limit", str(_bytes(size_gib)), f"0/{_subvolume_id(path)}", str(self.root))


def _free(path: Path) -> int:
    """Bytes that may still be written to the file system that the path is on."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _subvolume_id(path: Path) -> int:
    arguments = bytearray(struct.pack("QQ", 0, FIRST_FREE_OBJECTID) + bytes(4080))
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(folder, BTRFS_IOC_INO_LOOKUP, arguments)
    finally:
        os.close(folder)
    return int(struct.unpack_from("Q", arguments)[0])


def _bytes(size_gib: int) -> int:
    """Raises Refused for what is no size, as SQLite may hold it: text times a billion would fill the memory."""
    if not isinstance(size_gib, int) or size_gib < 1:
        raise Refused(f"{size_gib!r} is no size in GiB")
    return size_gib * GIB
