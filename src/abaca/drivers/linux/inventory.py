"""What of one installation is on this machine, found from its name and state folder alone, and
taking it away: all of it, or what a reboot takes.

For tests, benchmarks, the demonstration and uninstalling: it needs no database and no running
service, and asks nothing of the driver.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

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
PROGRAMS = (GANESHA, BUS)


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
        "mounts": [
            str(mount.point)
            for folder in (state_dir, run_path(namespace_prefix))
            for mount in mounts.mounts_below(folder)
        ],
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
    _remove_control_groups(namespace_prefix)
    for name in _namespaces(namespace_prefix):
        namespaces.remove(name)
    tunnel_filter.remove(namespace_prefix)
    mounts.unmount(state_dir)
    _detach_loop_devices(_folders_of_images(namespace_prefix, state_dir, pool_path))
    mounts.unmount(run_path(namespace_prefix))
    remove_tree(run_path(namespace_prefix))
    found = leftovers(namespace_prefix, state_dir, pool_path)
    passing = (
        "namespaces",
        "links",
        "filters",
        "mounts",
        "loop_devices",
        "processes",
        "control_groups",
    )
    stayed = {kind: found[kind] for kind in passing if found[kind]}
    if stayed:
        raise OutcomeUnknown(f"what a reboot would have taken is still there: {stayed}")


def remove_installation(
    namespace_prefix: str, state_dir: Path, pool_path: Path | None = None
) -> None:
    """Take everything of an installation away, **the data of its shares included**. Nothing there
    is success."""
    processes.end(_processes(namespace_prefix), END_SECONDS)
    _remove_control_groups(namespace_prefix)
    for name in _namespaces(namespace_prefix):
        namespaces.remove(name)
    tunnel_filter.remove(namespace_prefix)
    for pool in _pools(state_dir, pool_path):
        with suppress(OutcomeUnknown):  # there is none, mostly
            run("btrfs", "balance", "cancel", str(pool))
        _delete_subvolumes(pool, namespace_prefix)
    mounts.unmount(state_dir)
    mounts.unmount(run_path(namespace_prefix))
    _detach_loop_devices(_folders_of_images(namespace_prefix, state_dir, pool_path))
    if mounts.mounts_below(state_dir):
        raise OutcomeUnknown(f"something below {state_dir} is still mounted")
    for folder in (run_path(namespace_prefix), state_dir):
        remove_tree(folder)
    if pool_path is not None:
        _remove_folder_of_shares(pool_path, namespace_prefix)


def _namespaces(prefix: str) -> list[str]:
    """Share servers' namespaces, clients' and last the one of the bridges."""
    clients = [
        owner.removeprefix(OWNER_PREFIX)
        for _, owner in _links(prefix)
        if owner.startswith(OWNER_PREFIX)
    ]
    own = [name for name in namespaces.names() if name.startswith(f"{prefix}.")]
    bridges = [prefix] if prefix in namespaces.names() else []
    return sorted({*own, *clients}) + bridges


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
    return processes.find_below(run_path(prefix), PROGRAMS)


def _control_groups(prefix: str) -> list[str]:
    return [name for name in control_groups.names() if name.startswith(f"{prefix}.")]


def _remove_control_groups(prefix: str) -> None:
    for name in _control_groups(prefix):
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
    found = []
    for pool in _pools(state_dir, pool_path):
        with _folder_of_shares(pool, prefix) as shares:
            found += (
                [pool / prefix / each.name for each in subvolumes.subvolumes(shares)]
                if shares is not None
                else []
            )
    return sorted(found)


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
