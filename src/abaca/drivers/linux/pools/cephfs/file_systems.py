"""A CephFS as the pool of a back end: a group of subvolumes for each share server."""

from __future__ import annotations

import errno
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.layout import NAMESPACE_PATTERN, NO_SHARE, Layout, safe_id
from abaca.drivers.linux.option_values import flag
from abaca.drivers.linux.pools.cephfs.cluster import CephError, Cluster, Reached
from abaca.drivers.linux.pools.cephfs.pool import VOLUMES, CephPool, errors_sorted
from abaca.drivers.linux.pools.interface import Capacity, NotThere, Pool
from abaca.drivers.linux.storage import Recovery, Storage
from abaca.errors import BackendError, Unavailable
from abaca.plugin_options import Option

OPTIONS = {
    "ceph_config": Option(
        "File with the configuration of a Ceph cluster: /etc/ceph/ceph.conf. Shares are then in "
        "its CephFS, and none of the other options of pools is set."
    ),
    "ceph_user": Option("Ceph's user by which the worker works, without `client.`.", "abaca"),
    "ceph_keyring": Option(
        "File with that user's key. By default the one that ceph_config, or Ceph's own default, "
        "names."
    ),
    "ceph_filesystem": Option("Name of the file system in that cluster.", "cephfs"),
    "ceph_prefix": Option(
        "What the names of all that is made in Ceph begin with: with backend_host the same on all "
        "hosts, and another one for each installation that uses the cluster. By default that of "
        "the option namespace."
    ),
    "ceph_namespace": Option(
        "Network namespace, made by the administrator, in which Ceph's network is reached and "
        "nothing else: abaca-storage. The worker's commands and the NFS servers reach Ceph from it."
    ),
}
_OF_OTHER_POOLS = ("pool_path", "pool_size_gib")
PROOF = "proof"


def chosen(
    options: Mapping[str, str],
    layout: Layout,
    over_subscription: float,
    guard: Callable[[], None],
) -> CephFileSystems:
    """As the options say. Raises Unavailable for those that make no sense."""
    for name in _OF_OTHER_POOLS:
        if options[name]:
            raise Unavailable(f"option {name} is of another kind of pool than ceph_config")
    for name in ("pool_sparse", "image_per_share_server"):
        if flag(options, name):
            raise Unavailable(f"option {name} is of another kind of pool than ceph_config")
    if options["backup_folder"]:
        raise Unavailable("option backup_folder: shares in CephFS cannot be backed up")
    if not options["ceph_namespace"]:
        raise Unavailable("option ceph_namespace must be set with ceph_config")
    reached = Reached(**{name: options[f"ceph_{name}"] for name in Reached._fields})
    prefix = options["ceph_prefix"] or layout.namespace
    if not NAMESPACE_PATTERN.fullmatch(prefix):
        raise Unavailable(
            f"option ceph_prefix, '{prefix}', must be 1 to 32 lower-case letters, digits and -, "
            "and start with a letter"
        )
    cluster = Cluster(reached, guard)
    return CephFileSystems(cluster, f"{prefix}.", layout.host_mark, over_subscription)


class CephFileSystems:
    """`prefix`: of the names of all groups and subvolumes. `host`: by which this host's proof is
    told from others'. `over_subscription`: how many times the room that the cluster has may be
    promised."""

    def __init__(self, cluster: Cluster, prefix: str, host: str, over_subscription: float) -> None:
        self._cluster = cluster
        self.reached = cluster.reached
        self._prefix = prefix
        self._proof, self._host = f"{PROOF}-{host}", host
        self._over_subscription = over_subscription
        self._lock = threading.RLock()
        self.pool: Pool = self._pool(self._proof)
        self.storage = Storage(
            cluster.reached.namespace, self._configuration, self._recovery, self._kept
        )
        self.close = cluster.close

    def prepare(self) -> None:
        namespace = self._cluster.reached.namespace
        if namespaces.exists(namespace):
            namespaces.inside(namespace, lambda _: namespaces.set_sysctl(namespaces.ISOLATED))
        with errors_sorted("preparing CephFS"):
            self._ensure(self._proof)

    def answers(self, patience: float) -> bool:
        try:
            self._cluster.ask("probe", seconds=patience)
        except CephError:
            return True
        except BackendError:
            return False
        return True

    def ensure(self, server_id: str) -> None:
        with errors_sorted(f"share server {server_id}"):
            self._ensure(server_id)

    def of(self, server_id: str) -> Pool:
        with errors_sorted(f"share server {server_id}"):
            try:
                self._cluster.ask("inode", f"{VOLUMES}/{self._group(server_id)}")
            except CephError as error:
                if error.number != errno.ENOENT:
                    raise
                raise NotThere(f"share server {server_id} has no group in CephFS") from error
        return self._pool(server_id)

    def holding(self, share_id: str) -> Pool:
        for pool in self._pools():
            if pool.has(share_id):
                return pool
        raise NotThere(f"the data of {share_id} is in no group of CephFS")

    def fence(self, server_id: str) -> None:
        """Shut out whatever uses the data of a share server: its users go with their keys, then
        their sessions end, and the OSDs take nothing more from those clients."""
        with suppress(NotThere):  # nothing was ever there
            self.of(server_id)
            self._pool(server_id).shut_out()
        self._forget_recovery(server_id)

    def remove(self, server_id: str) -> None:
        if self._pool(server_id).end_clients():
            return  # there are shares, or snapshots whose shares have gone
        self._forget_recovery(server_id)
        with errors_sorted(f"share server {server_id}"):
            try:
                group = self._group(server_id)
                self._cluster.mgr("fs subvolumegroup rm", group_name=group, force=True)
            except CephError as error:
                if error.number not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise

    def capacity(self) -> Capacity:
        with self._lock:
            stored, available = self._room()
            found = [each for pool in self._pools() for each in pool.contents().values()]
        held = sum(each.used for each in found)
        return Capacity(stored + available, available, max(0, stored - held))

    def used_by_share(self) -> dict[str, int]:
        return {
            name: each.used
            for pool in self._pools()
            for name, each in pool.contents().items()
            if each.is_share and not name.startswith(NO_SHARE)
        }

    def remove_everything(self) -> None:
        """**With the data of all shares** of this installation."""
        for group in self._groups():
            pool = self._pool(group.removeprefix(self._prefix))
            found = pool.contents()
            for name in [*(each for one in found.values() for each in one.snapshots), *found]:
                pool.delete(name)
        for group in self._groups():
            self._forget_recovery(group.removeprefix(self._prefix))
            self._cluster.mgr("fs subvolumegroup rm", group_name=group, force=True)

    def _left(self) -> int:
        """Bytes that may still be promised."""
        stored, available = self._room()
        owed = sum(each.owed for pool in self._pools() for each in pool.contents().values())
        return available - owed + int((self._over_subscription - 1) * (stored + available))

    def _room(self) -> tuple[int, int]:
        """Bytes that all shares of the cluster hold, and that can still be written; replicas are
        counted once."""
        with errors_sorted("the room in CephFS"):
            pool = self._data_pool(self._cluster.mon("fs ls"))
            told = {each["name"]: each["stats"] for each in self._cluster.mon("df")["pools"]}
        stats = told[pool]
        return int(stats["stored"]), int(stats["max_avail"])

    def _pools(self) -> list[CephPool]:
        return [
            self._pool(group.removeprefix(self._prefix))
            for group in self._groups()
            if not group.startswith(self._group(PROOF))
        ]

    def _groups(self) -> list[str]:
        with errors_sorted("looking at CephFS"):
            found: list[str] = self._cluster.ask("names", VOLUMES)
        return [name for name in found if name.startswith(self._prefix)]

    def _ensure(self, server_id: str) -> None:
        self._cluster.mgr("fs subvolumegroup create", group_name=self._group(server_id))

    def _group(self, server_id: str) -> str:
        return f"{self._prefix}{safe_id(server_id)}"

    def _pool(self, server_id: str) -> CephPool:
        # subvolumes, users and namespaces of objects have names of their own over all groups
        prefix = f"{self._prefix}{self._host}-" if server_id == self._proof else self._prefix
        return CephPool(self._cluster, self._group(server_id), prefix, self._lock, self._left)

    def _configuration(self, keyring: str) -> str:
        """For NFS servers: nothing but where Ceph is. What they hold in memory is little, as each
        export has a client of Ceph of its own."""
        about = self._cluster.about()
        return CONFIGURATION.format(random=secrets.token_hex(16), keyring=keyring, **about)

    def _recovery(self, server_id: str) -> Recovery:
        user, namespace = self._recovery_user(server_id), f"abaca.nfs.{self._group(server_id)}"
        pool = self._data_pool(self._cluster.mon("fs ls"))
        caps = ["mon", "allow r", "osd", f"allow rwx pool={pool} namespace={namespace}"]
        with errors_sorted(f"share server {server_id}"):
            made = self._cluster.mon("auth get-or-create", entity=f"client.{user}", caps=caps)
        return Recovery(pool, namespace, user, made[0]["key"])

    def _forget_recovery(self, server_id: str) -> None:
        with errors_sorted(f"share server {server_id}"):
            self._cluster.mon("auth rm", entity=f"client.{self._recovery_user(server_id)}")

    def _recovery_user(self, server_id: str) -> str:
        return f"abaca.nfs.{self._group(server_id)}"

    def _kept(self, server_id: str, share_id: str, name: str, value: str | None) -> str | None:
        folder = f"{VOLUMES}/{self._group(server_id)}"
        if share_id:
            folder = str(self._pool(server_id).path(share_id))
        with errors_sorted(f"share server {server_id}"):
            try:
                kept: str | None = self._cluster.ask("kept", folder, name, value)
            except CephError as error:
                if error.number != errno.ENOENT:
                    raise
                return value  # the proof's: it has no group of its own
        return kept

    def _data_pool(self, filesystems: list[dict[str, Any]]) -> str:
        name = self._cluster.reached.filesystem
        pools: list[str] = next(
            (each["data_pools"] for each in filesystems if each["name"] == name), []
        )
        if not pools:
            raise Unavailable(f"the cluster has no CephFS {name}")
        return str(pools[0])


CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = {mon_host}
log_file = /dev/null
log_to_stderr = false
admin_socket =
keyring = {keyring}
client_oc_size = 33554432
ms_async_op_threads = 1
client_snapdir = .{random}
mon_client_hunt_interval_max_multiple = 1
"""
# By default a client that has lost its monitors asks for them after up to 30 s, and so is told of
# an MDS that is back when that waits for no more sessions: then the MDS serves nobody until the
# session has ended, five minutes later.
