"""What restic sees and may do: the data of one share, one repository, itself and its libraries; no
network, no other processes, no devices, no subvolumes, and few capabilities.

The names and contents in a share are its tenants'. Whatever they would make restic do, it can do
to this share and to its backups only.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from abaca.drivers.linux.file_services.nfs.cell import kernel, privileges
from abaca.drivers.linux.file_services.nfs.cell.kernel import (
    BIND,
    NODEV,
    NOEXEC,
    NOSUID,
    RDONLY,
    REC,
    REMOUNT,
    SLAVE,
    check,
    libc,
    mount,
    prctl,
)

SHARE, REPOSITORY = "/share", "/repository"
"""Where restic finds the data and the repository."""
TEMPORARY = "tmp"  # in the repository, which has the room
# DAC_OVERRIDE, FOWNER: read what only its owner may; and for restoring CHOWN, FSETID, SETFCAP, too.
# Not DAC_READ_SEARCH, which opens any file of a disk by handle, nor MKNOD.
READING, WRITING = 1 << 1 | 1 << 3, 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 31
NOSYMFOLLOW = 256
LIMITS = {"CORE": 1, "NOFILE": 4096, "MEMLOCK": 1 << 16, "MSGQUEUE": 0}
_NAMESPACES = kernel.NEW_MOUNTS | kernel.NEW_CGROUPS | kernel.NEW_HOST_NAME | kernel.NEW_IPC
_PR_SET_PDEATHSIG = 1
_OF_THE_HOST = ("/usr/lib", "/usr/lib64")
_LINKS = {"lib": "usr/lib", "lib64": "usr/lib64"}


class View(NamedTuple):
    """`root`: an empty folder. `repository`: a folder. `device`, `option`: how the data of a share
    is mounted; empty where none is seen. `is_written`: the data is restored, not read."""

    root: str
    repository: str
    device: str
    option: str
    is_written: bool


def become(program: str, argv: list[str], environment: Mapping[str, str], view: View) -> None:
    """Become a program in a cell. The caller's child, in a process namespace of its own, is lost to
    anything else. Raises OSError with what kept it from that."""
    os.setsid()
    os.umask(0o077)
    check(libc.unshare(_NAMESPACES | kernel.NEW_NETWORK), "make namespaces")
    _enter(view, program)
    privileges.limit(LIMITS.items())
    privileges.give_up(WRITING if view.is_written else READING)
    privileges.demand_token()  # which restic does not have: it opens nothing by handle
    privileges.refuse_ioctl()
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, what="end with the parent")
    os.execve(program, argv, {"LC_ALL": "C", "HOME": "/", **environment})


def _enter(view: View, program: str) -> None:
    root = Path(view.root)
    mount(None, "/", REC | SLAVE)
    mount("tmpfs", root, NOSUID | NODEV | NOEXEC, "tmpfs", "mode=0755,size=1m,nr_inodes=100")
    for path in (*_OF_THE_HOST, program):
        if os.path.exists(path):
            _bind(root, path, path, RDONLY)
    for name, target in _LINKS.items():
        (root / name).symlink_to(target)
    _bind(root, view.repository, REPOSITORY, NOEXEC | NOSYMFOLLOW)
    if view.device:
        point = root / SHARE.lstrip("/")
        point.mkdir()
        flags = NOSUID | NODEV | NOEXEC | NOSYMFOLLOW | (0 if view.is_written else RDONLY)
        mount(view.device, point, flags, "btrfs", view.option)
    os.chdir(root)
    check(libc.syscall(privileges.architecture().pivot_root, b".", b"."), "change the root")
    check(libc.umount2(b".", kernel.DETACH), "leave the old root")
    os.chdir("/")
    mount(None, "/", REMOUNT | BIND | RDONLY | NOSUID | NODEV | NOEXEC)


def _bind(root: Path, path: str, seen_as: str, flags: int) -> None:
    target = root / seen_as.lstrip("/")
    if os.path.isdir(path):
        target.mkdir(parents=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount(path, target, BIND)
    mount(None, target, BIND | REMOUNT | NOSUID | NODEV | flags)
