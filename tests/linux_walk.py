"""The world of a Linux back end for walks: laid down onto the disk, set up again from a copy, and
looked at whole.

What `tests.walk` copies for the fake one is a file; here it is the pool's image, and the machine is
set up from it by the worker, as after a reboot. All copies are at the same place, one after the
other, so that names and paths are the same in all of them. Which scenes are walked on Linux stands
here, too.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from abaca.drivers.linux import drains, inventory, mounts, namespaces, packet_filter, processes
from abaca.drivers.linux.file_services.nfs.exports import ExportBus
from abaca.drivers.linux.layout import Layout, run_path
from abaca.drivers.linux.programs import run
from abaca.drivers.linux.wires import plugging
from abaca.worker.backends import network_namespace
from tests.contracts.drivers.linux_backend import unavailable_reason
from tests.contracts.drivers.linux_site import routes_of
from tests.crash.linux_world import addresses_in
from tests.sample import sample
from tests.stack import Stack, make_conf

BACKEND = "alpha"
BACKENDS = {BACKEND: {"share_driver": "linux", "pool_size_gib": "20", "pool_sparse": "true"}}
WITH_IMAGES = {BACKEND: {**BACKENDS[BACKEND], "image_per_share_server": "true"}}
SCENES_WITH_IMAGES = (
    "share_create",
    "share_extend",
    "share_delete",
    "share_server_delete",
    "snapshot_create",
    "share_revert",
)
SCENES = (
    "share_create",
    "access_apply",
    "share_server_add_subnet",
    "share_delete",
    "share_extend",
    "share_server_delete",
    "share_shrink",
    "share_revert",
    "snapshot_create",
    "share_create_from_a_snapshot",
    "snapshot_delete",
    "share_server_abandon_subnet",
    "share_server_remove_subnet",
    "share_server_remove_subnet_from_a_drain",
    "share_server_update_drains",
    "share_server_update_drains_from_a_drain",
    "share_server_add_subnet_from_a_removal",
    "share_network_subnet_check",
    "share_network_subnet_resolve",
    "service_ensure_shares",
    "share_group_snapshot_create",
    "share_group_clone",
)
SCENES_IN_CEPH = (
    "share_create",
    "snapshot_create",
    "snapshot_delete",
    "share_create_from_a_snapshot",
    "access_apply",
    "share_server_add_subnet",
    "share_delete",
    "share_extend",
    "share_server_delete",
    "share_shrink",
    "share_server_remove_subnet",
    "service_ensure_shares",
)
END_SECONDS = 5.0
_PASSING = {"log", "recovery", "epoch", "secret"}
"""What of a server's folder is drawn at random, or tells how often its NFS server was started."""


def scenes(offset: int = 0, of: tuple[str, ...] = SCENES) -> list[str]:
    """A sample, of one at least. Walks that differ in `offset` have different ones."""
    turned = [*of[offset:], *of[:offset]]
    chosen = set(sample(of, len(of)))
    return [scene for scene, other in zip(of, turned, strict=True) if other in chosen]


class LinuxWorld:
    """`namespace`: the installation's name; `backend`: its one back end."""

    def __init__(self, namespace: str, backend: str) -> None:
        self._namespace = namespace
        self._backend = backend

    def lay_down(self, state_dir: Path) -> Path:
        """Take everything off the machine but what is on the disk, with nobody asking it to end,
        and put that aside; where it is then."""
        processes.end(
            processes.find_below(run_path(self._namespace), inventory.PROGRAMS), END_SECONDS
        )
        for name in inventory.leftovers(self._namespace, state_dir / "worker")["namespaces"]:
            namespaces.remove(name)
        mounts.unmount(state_dir)
        for device in inventory.leftovers(self._namespace, state_dir / "worker")["loop_devices"]:
            run("losetup", "--detach", device)
        mounts.unmount(run_path(self._namespace))
        shutil.rmtree(run_path(self._namespace), ignore_errors=True)
        return state_dir.rename(state_dir.with_name(f"{state_dir.name}-laid-down"))

    def copy(self, laid_down: Path) -> Path:
        """The state directory of a run, where it was before it was laid down."""
        state_dir = laid_down.with_name(laid_down.name.removesuffix("-laid-down"))
        subprocess.run(
            ["cp", "--archive", "--sparse=always", str(laid_down), str(state_dir)], check=True
        )
        return state_dir

    def observe(self, state_dir: Path) -> dict[str, Any]:
        """All that is there, numbers of processes and devices apart."""
        there: dict[str, Any] = dict(inventory.leftovers(self._namespace, state_dir / "worker"))
        for kind in ("processes", "loop_devices"):
            there[kind] = len(there[kind])
        layout = Layout(self._namespace, state_dir / "worker", self._backend)
        for namespace in there["namespaces"]:
            there[f"routes of {namespace}"] = routes_of(namespace)
            if namespace != self._namespace:  # the outer ends have MAC addresses of no meaning
                there[f"ports of {namespace}"] = plugging.ports_in(namespace)
            there[f"addresses of {namespace}"] = sorted(addresses_in(namespace))
            there[f"draining addresses of {namespace}"] = _draining(namespace)
        for server in sorted(path.name for path in layout.servers.glob("*")):
            there[f"exports of {server}"] = sorted(
                ExportBus(layout.server(server).bus_socket).active()
            )
        there["run folders"] = sorted(path.name for path in layout.run.glob("*") if path.is_dir())
        there["files"] = _files(layout.state)
        pools = [layout.state / "pool", *sorted(layout.state.glob("file-systems/*/pool"))]
        there["limits"] = {
            str(pool.relative_to(layout.state)): _limits(pool) for pool in pools if pool.exists()
        }
        return {f"machine: {what}": found for what, found in there.items()}

    def remove(self, state_dir: Path) -> None:
        """Take it away."""
        inventory.remove_installation(self._namespace, state_dir / "worker")
        shutil.rmtree(state_dir, ignore_errors=True)


@contextmanager
def linux_installation(
    url: str, tmp_path: Path, backends: dict[str, dict[str, str]] = BACKENDS, **overrides: object
) -> Iterator[tuple[Stack, LinuxWorld]]:
    """An installation with a Linux back end and no worker, with a share type `default`; taken away
    in the end. Skips where there is none."""
    if reason := unavailable_reason():
        pytest.skip(reason)
    tmp_path.chmod(0o755)
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    stack = Stack(make_conf(state_dir, url, backends, **overrides))
    namespace = network_namespace(stack.conf)
    try:
        stack.share_type()
        yield stack, LinuxWorld(namespace, BACKEND)
    finally:
        stack.close()
        inventory.remove_installation(namespace, state_dir / "worker")
    assert not any(inventory.leftovers(namespace, state_dir / "worker").values())


def _draining(namespace: str) -> dict[str, list[str]]:
    """The addresses in a namespace at which new clients are refused, by set of the packet
    filter."""

    def found(_: object) -> dict[str, list[str]]:
        if drains.TABLE not in packet_filter.tables():
            return {}
        sets = packet_filter.sets(*drains.TABLE)
        return {
            name: sorted(map(str, addresses))
            for name, addresses in sets.items()
            if name.startswith("leaving_")
        }

    return namespaces.inside(namespace, found)


def _files(folder: Path) -> dict[str, str]:
    """Path → content, of the driver's state and of all shares."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if (
            path.is_file()
            and not _PASSING & set(parts)
            and path.suffix != ".img"
            and "mounts" not in parts
        ):
            found["/".join(parts)] = path.read_text(errors="replace")
    return found


def _limits(pool: Path) -> list[str]:
    """Subvolume and limit, without the numbers that btrfs gives in the order of their making."""
    names = {}
    for line in run("btrfs", "subvolume", "list", str(pool)).splitlines():
        fields = line.split(" ", 8)
        names[fields[1]] = Path(fields[8]).name
    groups = (
        line.split()
        for line in run("btrfs", "qgroup", "show", "-r", "--raw", str(pool)).splitlines()
    )
    return sorted(
        f"{names[group[0].removeprefix('0/')]} {group[3]}"
        for group in groups
        if group and group[0].removeprefix("0/") in names
    )
