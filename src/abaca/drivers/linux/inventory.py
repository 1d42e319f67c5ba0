"""What of one installation is on this machine, found from its name and state folder alone, and
taking it away step by step: all of it, or what a reboot takes.

For tests, benchmarks, the demonstration and uninstalling: it needs no database and no running
service, and asks nothing of the driver.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from abaca.drivers.linux import beneath, control_groups, loops, mounts, namespaces, processes
from abaca.drivers.linux.clients import OWNER_PREFIX
from abaca.drivers.linux.file_services.nfs.bus_daemon import BUS
from abaca.drivers.linux.file_services.nfs.ganesha import GANESHA
from abaca.drivers.linux.layout import NO_SHARE, run_path
from abaca.drivers.linux.pools import subvolumes
from abaca.drivers.linux.pools.file_systems import ENDING
from abaca.drivers.linux.programs import remove_tree, run
from abaca.drivers.linux.wires import tunnel_filter
from abaca.drivers.linux.wires.port_security import secured_ports
from abaca.errors import OutcomeUnknown

END_SECONDS = 5.0
PROGRAMS = (GANESHA, BUS, Path(sys.executable).name)
"""Python: what works on backups; see `backups/jobs.py`."""
PASSING = (
    "namespaces",
    "links",
    "filters",
    "mounts",
    "loop_devices",
    "processes",
    "control_groups",
)
"""Kinds of what is left that a reboot takes."""


def leftovers(
    namespace_prefix: str, state_dir: Path, pool_path: Path | None = None
) -> dict[str, list[str]]:
    """What is there, by kind: namespaces, links (of Abaca's own namespace), filters, mounts,
    loop_devices, processes, control_groups, exports, subvolumes.

    `filters`: the ports whose frames are let pass, and the filter of tunnels in the host's
    namespace.

    `pool_path`: the pool that an administrator gave to the back end, if any. While the service is
    set up, its own namespace, its pool's mount and loop device are there although no share is.
    """
    return {
        "namespaces": _namespaces(namespace_prefix),
        "links": sorted(name for name, _ in _links(namespace_prefix)),
        "filters": _filters(namespace_prefix),
        "mounts": _mounts(namespace_prefix, state_dir),
        "loop_devices": _loop_devices(_folders_of_images(namespace_prefix, state_dir, pool_path)),
        "processes": [str(pid) for pid in _processes(namespace_prefix)],
        "control_groups": _control_groups(namespace_prefix),
        "exports": sorted(str(path) for path in state_dir.glob("*/servers/*/exports/*.conf")),
        "subvolumes": [
            str(path)
            for path in _subvolumes(namespace_prefix, state_dir, pool_path)
            if not path.name.startswith(NO_SHARE)
        ],
    }


class Step(NamedTuple):
    """A part of an installation, found by name: what it is, what of it is there, and how it is
    taken away. Nothing there is success; a step that was interrupted is begun again."""

    what: str
    find: Callable[[], list[str]]
    remove: Callable[[], None]


def serving_steps(
    namespace_prefix: str, state_dir: Path, pool_path: Path | None = None
) -> list[Step]:
    """What a reboot takes, too, in the order in which it can go. No worker may run."""
    run_folder = run_path(namespace_prefix)
    images = _folders_of_images(namespace_prefix, state_dir, pool_path)

    return [
        Step(
            "file servers and their buses",
            lambda: [str(pid) for pid in _processes(namespace_prefix)],
            lambda: processes.end(_processes(namespace_prefix), END_SECONDS),
        ),
        Step(
            "control groups",
            lambda: _control_groups(namespace_prefix),
            lambda: _remove_control_groups(namespace_prefix),
        ),
        Step(
            "network namespaces",
            lambda: _namespaces(namespace_prefix),
            lambda: _remove_namespaces(namespace_prefix),
        ),
        Step(
            "packet filters",
            lambda: tunnel_filter.tables(namespace_prefix),
            lambda: tunnel_filter.remove(namespace_prefix),
        ),
        Step(
            "mounts",
            lambda: _mounts(namespace_prefix, state_dir),
            lambda: _unmount(namespace_prefix, state_dir, pool_path),
        ),
        Step("loop devices", lambda: _loop_devices(images), lambda: _detach_loop_devices(images)),
        Step(
            "run folder",
            lambda: [str(path) for path in (run_folder,) if path.exists()],
            lambda: _remove_run_folder(run_folder),
        ),
    ]


def data_steps(namespace_prefix: str, state_dir: Path, pool_path: Path | None = None) -> list[Step]:
    """**The data of its shares**, once nothing serves it. `state_dir` itself stays."""
    steps = []
    if pool_path is not None:
        steps = [
            Step(
                f"shares and snapshots in {pool_path}",
                lambda: [str(path) for path in _subvolumes_in(pool_path, namespace_prefix)],
                lambda: _delete_subvolumes(pool_path, namespace_prefix),
            ),
            Step(
                f"folder of shares in {pool_path}",
                lambda: [str(path) for path in (pool_path / namespace_prefix,) if path.exists()],
                lambda: _remove_folder_of_shares(pool_path, namespace_prefix),
            ),
        ]
    return steps


def simulate_reboot(namespace_prefix: str, state_dir: Path, pool_path: Path | None = None) -> None:
    """Leave of an installation, whose worker must not run, what is on the disk. Its file servers
    are killed without having been asked to end.

    Nothing else on the machine is touched, nor the mount of a pool that was given. Raises
    OutcomeUnknown when something stays.
    """
    dead = _processes(namespace_prefix)
    for pid in dead:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    processes.wait_until(lambda: not _processes(namespace_prefix), END_SECONDS)
    for step in serving_steps(namespace_prefix, state_dir, pool_path):
        step.remove()
    found = leftovers(namespace_prefix, state_dir, pool_path)
    stayed = {kind: found[kind] for kind in PASSING if found[kind]}
    if stayed:
        raise OutcomeUnknown(f"what a reboot would have taken is still there: {stayed}")


def remove_installation(
    namespace_prefix: str, state_dir: Path, pool_path: Path | None = None
) -> None:
    """Take everything of an installation away, **the data of its shares included**. Nothing there
    is success."""
    for step in serving_steps(namespace_prefix, state_dir, pool_path):
        step.remove()
    for step in data_steps(namespace_prefix, state_dir, pool_path):
        step.remove()
    if mounts.mounts_below(state_dir):
        raise OutcomeUnknown(f"something below {state_dir} is still mounted")
    remove_tree(state_dir)


def _remove_namespaces(prefix: str) -> None:
    for name in _namespaces(prefix):
        namespaces.remove(name)


def _mounts(prefix: str, state_dir: Path) -> list[str]:
    return [
        str(mount.point)
        for folder in (state_dir, run_path(prefix))
        for mount in mounts.mounts_below(folder)
    ]


def _unmount(prefix: str, state_dir: Path, pool_path: Path | None) -> None:
    for pool in _pools(state_dir, pool_path):
        with suppress(OutcomeUnknown):  # there is none, mostly
            run("btrfs", "balance", "cancel", str(pool))
    mounts.unmount(state_dir)
    mounts.unmount(run_path(prefix))


def _remove_run_folder(folder: Path) -> None:
    """And the folders of all installations, when this was the last one."""
    remove_tree(folder)
    with suppress(OSError):  # of another installation, or there is none
        folder.parent.rmdir()
    control_groups.remove_parents()


def _namespaces(prefix: str) -> list[str]:
    """Share servers' namespaces, clients' and last the one of the bridges."""
    clients = [
        owner.removeprefix(OWNER_PREFIX)
        for _, owner in _links(prefix)
        if owner.startswith(OWNER_PREFIX)
    ]
    bridges = [prefix] if prefix in namespaces.names() else []
    return sorted({*_of_servers(prefix), *clients}) + bridges


def _of_servers(prefix: str) -> list[str]:
    return [name for name in namespaces.names() if name.startswith(f"{prefix}.")]


def _filters(prefix: str) -> list[str]:
    ports = secured_ports(prefix) if namespaces.exists(prefix) else []
    return ports + tunnel_filter.tables(prefix)


def _links(prefix: str) -> list[tuple[str, str]]:
    """(name, owner) of each link in the namespace of the bridges; a bridge's owner is its
    network."""
    if not namespaces.exists(prefix):
        return []
    found = namespaces.inside(
        prefix,
        lambda links: [
            (link.get("ifname"), link.get("ifalias") or "") for link in links.get_links()
        ],
    )
    return [(name, alias.split(" ")[0]) for name, alias in found if name != "lo"]


def _folders_of_images(prefix: str, state_dir: Path, pool_path: Path | None) -> list[Path]:
    """In a pool that was given there may be images of other installations, too, and of anybody."""
    return [state_dir, *([pool_path / prefix] if pool_path is not None else [])]


def _prefixes(folders: Sequence[Path]) -> tuple[str, ...]:
    return tuple(f"{folder}/" for folder in folders)


def _loop_devices(folders: Sequence[Path]) -> list[str]:
    """Of the images in these folders."""
    return list(map(str, loops.attached(_prefixes(folders))))


def _detach_loop_devices(folders: Sequence[Path]) -> None:
    prefixes = _prefixes(folders)
    for device in loops.attached(prefixes):
        loops.detach(device, prefixes)
    loops.await_detached(prefixes)


def _processes(prefix: str) -> list[int]:
    """By their arguments, and by their cells: a server that was taken over may have changed the
    former."""
    named = processes.find_below(run_path(prefix), PROGRAMS)
    in_cells = processes.in_cells(*map(namespaces.path_of, _of_servers(prefix)))
    return sorted({*named, *in_cells})


def _control_groups(prefix: str) -> list[str]:
    return [name for name in control_groups.names() if name.startswith(f"{prefix}.")]


def _remove_control_groups(prefix: str) -> None:
    """And what is left in them, as whatever name."""
    for name in _control_groups(prefix):
        control_groups.kill(name)
        control_groups.remove(name)


def _pools(state_dir: Path, pool_path: Path | None) -> list[Path]:
    """Where pools are mounted."""
    found = [
        *state_dir.glob("*/file-systems/*/pool"),
        *state_dir.glob("*/pool"),
        *([pool_path] if pool_path else []),
    ]
    return [pool for pool in found if mounts.mount_at(pool)]


def _subvolumes(prefix: str, state_dir: Path, pool_path: Path | None) -> list[Path]:
    return sorted(
        found for pool in _pools(state_dir, pool_path) for found in _subvolumes_in(pool, prefix)
    )


def _subvolumes_in(pool: Path, prefix: str) -> list[Path]:
    with _folder_of_shares(pool, prefix) as shares:
        if shares is None:
            return []
        return [pool / prefix / each.name for each in subvolumes.subvolumes(shares)]


def _delete_subvolumes(pool: Path, prefix: str) -> None:
    with _folder_of_shares(pool, prefix) as shares:
        if shares is not None:
            for each in subvolumes.subvolumes(shares):
                subvolumes.destroy(shares, each.name)


def _remove_folder_of_shares(pool: Path, prefix: str) -> None:
    """With the images of share servers that are in it."""
    with _folder_of_shares(pool, prefix) as shares:
        for name in os.listdir(shares) if shares is not None else []:
            if name.endswith((ENDING, f"{ENDING}.new")):
                os.unlink(name, dir_fd=shares)
    with beneath.folder(pool) as top, suppress(FileNotFoundError):
        os.rmdir(prefix, dir_fd=top)


@contextmanager
def _folder_of_shares(pool: Path, prefix: str) -> Iterator[int | None]:
    """A descriptor of the folder that an installation's shares are in; None where there is none,
    but a link, for example."""
    with beneath.folder(pool) as top, ExitStack() as opened:
        shares = None
        with suppress(FileNotFoundError, NotADirectoryError):
            shares = opened.enter_context(beneath.folder_beneath(top, prefix))
        yield shares
