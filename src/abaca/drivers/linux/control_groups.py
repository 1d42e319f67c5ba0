"""Control groups: what a server may use of this machine's memory, and how many tasks it may have.
Made by name, joined, taken away.

Version 2 where it has the controllers, else version 1. Where neither may be written (some
containers) there are none, which is no error: what can be limited otherwise is limited by the
server's cell.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from abaca.drivers.linux import mounts, processes

MOUNTED = Path("/sys/fs/cgroup")
FOLDER = "abaca"  # of all installations; a group's name begins with its installation's
MEMORY, TASKS = "memory", "pids"
END_SECONDS = 10.0

# Controller → the file of its limit.
_VERSION_2 = {MEMORY: "memory.max", TASKS: "pids.max"}
_VERSION_1 = {MEMORY: "memory.limit_in_bytes", TASKS: "pids.max"}


class ControlGroups:
    """In a folder of each hierarchy. `version_2`, `version_1`: controllers with the files of their
    limits."""

    def __init__(
        self, folder: str, version_2: Mapping[str, str], version_1: Mapping[str, str]
    ) -> None:
        self._folder, self._version_2, self._version_1 = folder, version_2, version_1

    def ensure(self, name: str, limits: Mapping[str, int]) -> list[str]:
        """Make sure of a group with these limits (MEMORY: bytes; TASKS).

        Returns the files by which a process joins it; none where this machine has no way.
        """
        with contextlib.suppress(OSError):
            return [_ensure(parent / name, files, limits) for parent, files in self._parents()]
        return []

    def remove(self, name: str) -> None:
        """Take away a group whose processes have ended or are just ending. Nothing there is
        success."""
        for parent, _ in self._parents(make=False):
            with contextlib.suppress(OSError):
                processes.wait_until(lambda group=parent / name: _is_removed(group), END_SECONDS)  # type: ignore[misc]

    def remove_parents(self) -> None:
        """Take away the folders of groups of all installations where they are empty."""
        for parent, _ in self._parents(make=False):
            with contextlib.suppress(OSError):  # there are others' in it, or it is not there
                parent.rmdir()

    def kill(self, name: str) -> None:
        """Kill all processes of a group, those that they start meanwhile included. Nothing there is
        success."""
        files = [parent / name / "cgroup.procs" for parent, _ in self._parents(make=False)]
        processes.wait_until(lambda: not any(map(_killed, files)), END_SECONDS)

    def names(self) -> list[str]:
        """All groups of all installations."""
        found = {
            group.name
            for parent, _ in self._parents(make=False)
            if parent.is_dir()
            for group in parent.iterdir()
            if group.is_dir()
        }
        return sorted(found)

    def limits_of(self, pid: int) -> dict[str, int]:
        """The limits that a process is under, by MEMORY and TASKS."""
        found = {}
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            *_, path = line.split(":", 2)
            for parent, files in self._parents(make=False):
                for controller, file in files.items():
                    limit = parent.parent / path.lstrip("/") / file
                    if parent.name in path and limit.is_file():
                        found[controller] = int(limit.read_text())
        return found

    def _parents(self, *, make: bool = True) -> Iterator[tuple[Path, Mapping[str, str]]]:
        """(the folder of groups, the files of limits) of each hierarchy that has a controller."""
        found = mounts.mounts_below(MOUNTED)
        unified = [
            mount.point
            for mount in found
            if mount.filesystem == "cgroup2" and _has_controllers(mount.point, self._version_2)
        ]
        if unified:
            parent = unified[0] / self._folder
            if make:
                _make(parent)
                for folder in (unified[0], parent):
                    (folder / "cgroup.subtree_control").write_text(
                        " ".join(f"+{controller}" for controller in self._version_2)
                    )
            yield parent, self._version_2
            return
        for controller, file in self._version_1.items():
            for mount in found:
                if mount.filesystem == "cgroup" and controller in mount.options:
                    parent = mount.point / self._folder
                    if make:
                        _make(parent)
                    yield parent, {controller: file}
                    break


def _make(parent: Path) -> None:
    """For everybody to list, whatever the umask: `abaca doctor` and `uninstall` look there, and may
    be an ordinary user's."""
    parent.mkdir(exist_ok=True)
    parent.chmod(0o755)


def _killed(members: Path) -> int:
    """How many processes were in a group; they have been sent the signal."""
    with contextlib.suppress(FileNotFoundError):
        found = members.read_text().split()
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        return len(found)
    return 0


def _is_removed(group: Path) -> bool:
    """False while a process that was killed is still in it; how long that lasts is up to the
    machine."""
    try:
        group.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def _has_controllers(point: Path, controllers: Iterable[str]) -> bool:
    return set(controllers) <= set((point / "cgroup.controllers").read_text().split())


def _ensure(group: Path, files: Mapping[str, str], limits: Mapping[str, int]) -> str:
    group.mkdir(exist_ok=True)
    for controller, file in files.items():
        (group / file).write_text(str(limits[controller]))
    return str(group / "cgroup.procs")


_OF_SERVERS = ControlGroups(FOLDER, _VERSION_2, _VERSION_1)
ensure, kill, remove, remove_parents, names, limits_of = (
    _OF_SERVERS.ensure,
    _OF_SERVERS.kill,
    _OF_SERVERS.remove,
    _OF_SERVERS.remove_parents,
    _OF_SERVERS.names,
    _OF_SERVERS.limits_of,
)
