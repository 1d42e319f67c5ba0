"""Which file system the shares of a share server are in: all in the pool's, or each server's in one
of its own.

The kernel opens any file of a file system for whoever may open by handle and has one folder of it
mounted. So what code of a stranger's inside an NFS server can reach is the file system of its
shares, and with an image per share server that is its own shares.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from abaca.drivers.linux import mounts
from abaca.drivers.linux.layout import Layout, safe_id
from abaca.drivers.linux.option_values import flag, number
from abaca.drivers.linux.pools.btrfs import BtrfsPool
from abaca.drivers.linux.pools.cephfs import file_systems as cephfs
from abaca.drivers.linux.pools.disk_probe import DiskProbe
from abaca.drivers.linux.pools.image import Image
from abaca.drivers.linux.pools.interface import Capacity, FileSystems, NotThere, Pool
from abaca.drivers.linux.pools.room import beside
from abaca.drivers.linux.pools.server_images import ServerImage, ServerPool
from abaca.errors import BackendError, Refused, Unavailable
from abaca.plugin_options import Option

OPTIONS = {
    "pool_path": Option(
        "Folder on a mounted btrfs that holds the shares: /srv/shares. Without it, an image of "
        "pool_size_gib is made below "
        "state_dir and mounted."
    ),
    "pool_size_gib": Option(
        "How much of the image can be promised, in GiB. By default 20, or half of the disk's free "
        "room where that is less."
    ),
    "pool_sparse": Option(
        "true: the image takes room on its disk only when tenants write. false: it is allocated "
        "when it is made.",
        "false",
    ),
    "image_per_share_server": Option(
        "true: each share server has a file system of its own, in an image in the pool. A second "
        "wall between share servers, which "
        "costs room and speed. For a new pool only.",
        "false",
    ),
    **cephfs.OPTIONS,
}
ENDING = ".img"
LOOKED_AT = 8
"""File systems of servers that are looked at when the pool's capacity is asked for, which is every
few seconds."""
_LOG = logging.getLogger(__name__)


class Seen(NamedTuple):
    """What a file system was like, and when that was, by the monotonic clock."""

    at: float
    capacity: Capacity


NOTHING_SEEN = Seen(0.0, Capacity(0, 0, 0))


def chosen(
    options: Mapping[str, str],
    layout: Layout,
    over_subscription: float,
    end_users: Callable[[str], None],
    guard: Callable[[], None],
) -> FileSystems:
    """As the options say. Raises Unavailable for those that make no sense.

    `over_subscription`: how many times the pool may be promised. `end_users(id)`: ends whoever
    holds files of a share server's shares open, and takes away all that is mounted of them for it.
    `guard`: the driver's.
    """
    if options["ceph_config"]:
        return cephfs.chosen(options, layout, over_subscription, guard)
    pool = _pool(options, layout, over_subscription)

    def end_all_users() -> None:
        for folder in layout.servers.glob("*"):
            end_users(folder.name)

    if not flag(options, "image_per_share_server"):
        return OneForAll(pool, end_all_users)
    if over_subscription > 1:
        raise Unavailable(
            "option max_over_subscription_ratio must be 1 with image_per_share_server, as images "
            "take all of their room at once"
        )
    return ImagePerServer(
        pool, layout.state / "file-systems", layout.namespace, end_all_users, end_users
    )


def _pool(options: Mapping[str, str], layout: Layout, over_subscription: float) -> BtrfsPool:
    size_gib = int(number(options, "pool_size_gib", 1)) if options["pool_size_gib"] else None
    is_sparse = flag(options, "pool_sparse")
    if options["pool_path"]:
        return BtrfsPool(
            Path(options["pool_path"]).resolve(), None, layout.namespace, over_subscription
        )
    image = Image(layout.state / "pool.img", size_gib, is_sparse)
    return BtrfsPool(layout.state / "pool", image, layout.namespace, over_subscription)


def _holding(pools: Iterable[BtrfsPool], share_id: str) -> Pool:
    for pool in pools:
        if pool.has(share_id):
            return pool
    raise NotThere(f"the data of {share_id} is in no file system of shares")


class OneForAll:
    """All shares are in the pool itself. `end_users()`: as `chosen`, of all share servers."""

    storage = None

    def __init__(self, pool: BtrfsPool, end_users: Callable[[], None]) -> None:
        self.pool = self._pool = pool
        self._end_users = end_users
        self.capacity = pool.capacity
        self.used_by_share = pool.used_by_share
        self.answers = DiskProbe(pool.root).answers

    def prepare(self) -> None:
        self._pool.prepare(self._end_users)
        if self._pool.files(ENDING):
            raise Unavailable(
                f"the pool {self._pool.root} holds images of share servers: "
                "image_per_share_server must stay true for it"
            )

    def ensure(self, server_id: str) -> None:
        pass

    def of(self, server_id: str) -> Pool:
        return self._pool

    def holding(self, share_id: str) -> Pool:
        return _holding([self._pool], share_id)

    def fence(self, server_id: str) -> None:
        raise Refused("what is on this host's disk is used by no other host")

    def remove(self, server_id: str) -> None:
        pass


class ImagePerServer:
    """`pool`: what the images are in. `folder`: in which their file systems are mounted. `inner`:
    the name of the folder of shares in each. `end_all_users()`, `end_users(id)`: as `chosen`, of
    all share servers or one."""

    storage = None

    def __init__(
        self,
        pool: BtrfsPool,
        folder: Path,
        inner: str,
        end_all_users: Callable[[], None],
        end_users: Callable[[str], None],
    ) -> None:
        self.pool = self._pool = pool
        self._end_all_users = end_all_users
        self.answers = DiskProbe(pool.root).answers
        self._folder = folder
        self._inner = inner
        self._end_users = end_users
        self._known: dict[str, ServerPool] = {}
        self._said: set[ServerPool] = set()
        self._seen: dict[str, Seen] = {}
        self._lock = threading.Lock()
        self._taking = threading.Lock()
        self._giving_back = threading.Lock()

    def prepare(self) -> None:
        self._pool.prepare(self._end_all_users)
        if self._pool.share_ids():
            raise Unavailable(
                f"the pool {self._pool.root} holds shares of its own: image_per_share_server can "
                "only be set for a new pool"
            )
        for server_id in self._ids():
            try:
                self._mounted(server_id)
            except BackendError as error:  # its shares are not there; those of others are
                _LOG.warning(
                    "the file system of share server %s cannot be used: %s",
                    server_id,
                    error.message,
                )

    def ensure(self, server_id: str) -> None:
        self._one(server_id).prepare(lambda: self._end_users(server_id))

    def of(self, server_id: str) -> Pool:
        if safe_id(server_id) not in self._ids():
            raise NotThere(f"share server {server_id} has no file system in the pool")
        return self._mounted(server_id)

    def holding(self, share_id: str) -> Pool:
        ready = [one for one in map(self._one, self._ids()) if one.is_ready]
        return _holding(ready, share_id)

    def fence(self, server_id: str) -> None:
        raise Refused("what is on this host's disk is used by no other host")

    def remove(self, server_id: str) -> None:
        one = self._one(server_id)
        if server_id in self._ids() and (held := self._mounted(server_id).share_ids()):
            _LOG.warning(
                "the file system of share server %s is kept, as it holds %s",
                server_id,
                ", ".join(held),
            )
            return
        one.unmount()
        self._pool.remove_file(f"{server_id}{ENDING}")
        self._pool.remove_file(f".{server_id}{ENDING}.new")  # of a call that was lost
        for folder in (one.root, one.root.parent):
            with suppress(FileNotFoundError):
                folder.rmdir()
        with self._lock:
            self._known.pop(server_id, None)

    def capacity(self) -> Capacity:
        """Each file system's is as of a while ago: LOOKED_AT of them are looked at in a call, in
        turn."""
        whole, ids = self._pool.capacity(), self._ids()
        # Not by what is free, which takes a while to grow when an image has gone.
        spare = beside(max(0, whole.total - sum(self._one(server_id).size() for server_id in ids)))
        free = beside(whole.free)
        self._seen = {server_id: self._seen.get(server_id, NOTHING_SEEN) for server_id in ids}
        for server_id in sorted(ids, key=lambda each: self._seen[each].at)[:LOOKED_AT]:
            self._seen[server_id] = Seen(time.monotonic(), self._look_at(self._one(server_id)))
        found = [seen.capacity for seen in self._seen.values()]
        total = spare + sum(each.total for each in found)
        free += sum(each.free for each in found)  # by another count than `spare`
        return Capacity(total, min(total, free), sum(each.kept_beside for each in found))

    def used_by_share(self) -> dict[str, int]:
        used: dict[str, int] = {}
        for one in map(self._one, self._ids()):
            with suppress(BackendError):  # said where its capacity is asked for
                used |= one.used_by_share() if one.is_ready else {}
        return used

    def _look_at(self, one: ServerPool) -> Capacity:
        """What there is in one file system; nothing when it cannot be used, in which case the other
        ones go on."""
        if not one.is_ready:
            return Capacity(0, 0, 0)
        try:
            found = one.capacity()
            can_give_back = one.can_give_back()
        except BackendError as error:
            self._say_once(one, error.message)
            return Capacity(0, 0, 0)
        self._said.discard(one)
        if can_give_back and self._giving_back.acquire(blocking=False):
            threading.Thread(
                target=self._give_back, args=(one,), name="give back", daemon=True
            ).start()
        return found

    def _say_once(self, one: ServerPool, complaint: str) -> None:
        if one not in self._said:
            _LOG.warning("the file system of a share server cannot be used: %s", complaint)
            self._said.add(one)

    def _give_back(self, one: ServerPool) -> None:
        try:
            while one.give_back():
                pass
        finally:
            self._giving_back.release()

    def _ids(self) -> set[str]:
        return {name.removesuffix(ENDING) for name in self._pool.files(ENDING)}

    def _mounted(self, server_id: str) -> ServerPool:
        """The file system of a server that has an image."""
        one = self._one(server_id)
        if not one.is_ready or mounts.mount_at(one.root) is None:
            one.prepare(lambda: self._end_users(server_id))
        return one

    def _one(self, server_id: str) -> ServerPool:
        with self._lock:
            if server_id not in self._known:
                image = ServerImage(
                    self._pool.path(server_id).with_name(f"{safe_id(server_id)}{ENDING}"),
                    self._pool,
                    self._taking,
                )
                self._known[server_id] = ServerPool(
                    self._folder / safe_id(server_id) / "pool", image, self._inner
                )
            return self._known[server_id]
