"""The world of a Linux back end for walks: laid down onto the disk, set up again from a copy, and looked at whole.

What `tests.walk` copies for the fake one is a file; here it is the pool's image, and the machine is set up from it by the worker, as after a
reboot. All copies stand at the same place, one after the other, so that names and paths are the same in all of them.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from abaca.drivers.linux import inventory, mounts, namespaces, plugging, processes
from abaca.drivers.linux.exports import ExportBus
from abaca.drivers.linux.layout import Layout, run_path
from abaca.drivers.linux.programs import run
from tests.contracts.drivers.linux_site import routes_of
from tests.crash.linux_world import addresses_in

END_SECONDS = 5.0
_PASSING = {"ganesha.log", "recovery"}
"""What of a server's folder tells of how often its NFS server was started."""


class LinuxWorld:
    """`namespace`: the installation's name; `backend`: its one back end."""

    def __init__(self, namespace: str, backend: str) -> None:
        self._namespace = namespace
        self._backend = backend

    def lay_down(self, state_dir: Path) -> Path:
        """Take everything off the machine but what is on the disk, with nobody asking it to end, and put that aside; where it is then."""
        processes.end(processes.find_below(run_path(self._namespace), inventory.PROGRAMS), END_SECONDS)
        for name in inventory.leftovers(self._namespace, state_dir / "worker")["namespaces"]:
            namespaces.remove(name)
        mounts.unmount(state_dir)
        for device in inventory.leftovers(self._namespace, state_dir / "worker")["loop_devices"]:
            run("losetup", "--detach", device)
        shutil.rmtree(run_path(self._namespace), ignore_errors=True)
        return state_dir.rename(state_dir.with_name(f"{state_dir.name}-laid-down"))

    def copy(self, laid_down: Path) -> Path:
        """The state directory of a run, where it was before it was laid down."""
        state_dir = laid_down.with_name(laid_down.name.removesuffix("-laid-down"))
        subprocess.run(["cp", "--archive", "--sparse=always", str(laid_down), str(state_dir)], check=True)
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
        for server in sorted(path.name for path in layout.servers.glob("*")):
            there[f"exports of {server}"] = sorted(ExportBus(layout.server(server).bus_socket).active())
        there["files"] = _files(layout.state)
        there["limits"] = _limits(layout.state / "pool")
        return {f"machine: {what}": found for what, found in there.items()}

    def remove(self, state_dir: Path) -> None:
        """Take it away."""
        inventory.remove_installation(self._namespace, state_dir / "worker")
        shutil.rmtree(state_dir, ignore_errors=True)


def _files(folder: Path) -> dict[str, str]:
    """Path → content, of the driver's state and of all shares."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not _PASSING & set(parts) and path.name != "pool.img" and "mounts" not in parts:
            found["/".join(parts)] = path.read_text(errors="replace")
    return found


def _limits(pool: Path) -> list[str]:
    """Subvolume and limit, without the numbers that btrfs gives in the order of their making."""
    names = {}
    for line in run("btrfs", "subvolume", "list", str(pool)).splitlines():
        fields = line.split(" ", 8)
        names[fields[1]] = Path(fields[8]).name
    groups = (line.split() for line in run("btrfs", "qgroup", "show", "-r", "--raw", str(pool)).splitlines())
    return sorted(f"{names[group[0].removeprefix('0/')]} {group[3]}" for group in groups if group and group[0].removeprefix("0/") in names)
