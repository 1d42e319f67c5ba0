"""The files that an NFS server sees: a root of its own on a tmpfs, in which nothing of the host is
but what is named here.

Runs in the launcher, as the first process of new mount and process namespaces. Every mount of the
host is gone from this namespace afterwards, so no path and no `..` leads to it.

Nor does a file handle: who may open by handle opens any file of a file system of which one folder
is mounted. So what lies on the host's disk is seen through overlays, which open nothing by handle;
devices are made anew.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from abaca.drivers.linux.file_services.nfs.cell import kernel
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
)
from abaca.drivers.linux.file_services.nfs.cell.privileges import architecture

LINKS = {"lib": "usr/lib", "lib64": "usr/lib64", "etc/mtab": "/proc/self/mounts"}
DEVICES = {"null": 3, "zero": 5, "random": 8, "urandom": 9}
"""Names and minor numbers of memory devices."""
_MEMORY_DEVICES = 1
KINDS = ("tmpfs", "overlay", "proc", "sysfs")
"""File systems that may be seen beside those of shares."""
# The server needs no names of the host's users: NFS-Ganesha passes on numbers.
FILES = {
    "etc/passwd": "root:x:0:0::/:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: "
    "files\nnetgroup: files\ninitgroups: files\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
# As `mounts.WITHOUT_HANDLES`, which a launcher would take longer to load.
WITHOUT_HANDLES = "nfs_export=off,index=off,redirect_dir=off,metacopy=off"
FEW_BYTES = "mode=0755,size=1m,nr_inodes=1k"


def enter(
    root: Path,
    of_the_host: Iterable[str],
    read_only: Iterable[str],
    writable: Iterable[str],
    private: Iterable[str],
    shares: str | None,
) -> None:
    """Make `root`, an empty folder, this process's root.

    `of_the_host`: programs and files that do not change; `read_only` and `writable`: paths on the
    server's own file systems. All are seen under their own names (those of them that are there).
    `private`: empty folders of its own, which it may write. `shares`: a shared mount, seen
    read-only itself; what the host mounts in it later is seen as it is mounted.
    """
    mount(None, "/", REC | SLAVE)
    mount("tmpfs", root, NOSUID | NODEV | NOEXEC, "tmpfs", FEW_BYTES)
    for folder in private:
        _private(root, folder)
    _make_devices(root / "dev")
    for path in of_the_host:
        _overlay(root, path)
    for path in read_only:
        _bind(root, path, RDONLY)
    for path in writable:
        _bind(root, path, 0)
    if shares is not None:
        _bind(root, shares, RDONLY, REC)
    _write(root, FILES, LINKS)
    _below(root, "/proc").mkdir()
    mount("proc", _below(root, "/proc"), NOSUID | NODEV | NOEXEC | RDONLY, "proc", "subset=pid")
    _pivot(root)
    _refuse_other_mounts(shares)


def _private(root: Path, folder: str) -> None:
    target = _below(root, folder)
    target.mkdir(mode=0o755, parents=True, exist_ok=True)
    mount("tmpfs", target, NOSUID | NODEV | NOEXEC, "tmpfs", FEW_BYTES)


def _make_devices(folder: Path) -> None:
    folder.mkdir()
    mount("tmpfs", folder, NOSUID | NOEXEC, "tmpfs", FEW_BYTES)
    for name, number in DEVICES.items():
        os.mknod(folder / name, stat.S_IFCHR, os.makedev(_MEMORY_DEVICES, number))
        os.chmod(folder / name, 0o666)
    mount(None, folder, BIND | REMOUNT | NOSUID | NOEXEC | RDONLY)


def _overlay(root: Path, path: str) -> None:
    """A folder or a file of the host's, read-only, in a file system that opens nothing by handle.
    Nothing happens for what is not there, and for what a folder shows that came before."""
    if not os.path.exists(path) or _below(root, path).exists():
        return
    source = os.path.realpath(path)  # a link would lead out of the overlay
    folder = source if os.path.isdir(source) else os.path.dirname(source)
    over, empty = root / ".over", root / ".empty"
    over.mkdir(exist_ok=True)
    empty.mkdir(exist_ok=True)
    lower = folder.replace("\\", "\\\\").replace(":", "\\:")
    mount(
        "overlay",
        over,
        NOSUID | NODEV | RDONLY,
        "overlay",
        f"lowerdir={lower}:{empty},{WITHOUT_HANDLES}",
    )
    target = _point(root, path)
    mount(over if folder == source else over / os.path.basename(source), target, BIND)
    mount(None, target, BIND | REMOUNT | NOSUID | NODEV | RDONLY)
    check(libc.umount2(os.fsencode(over), kernel.DETACH), f"unmount {over}")


def _bind(root: Path, path: str, flags: int, recursive: int = 0) -> None:
    if not os.path.exists(path):
        return
    target = _point(root, path)
    mount(path, target, BIND | recursive)
    mount(None, target, BIND | REMOUNT | NOSUID | NODEV | flags)


def _point(root: Path, path: str) -> Path:
    """Where something of the host is mounted in the new root: made, as a folder or a file."""
    target = _below(root, path)
    if os.path.isdir(path):
        target.mkdir(mode=0o755, parents=True, exist_ok=True)
    else:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        target.touch()
    return target


def _write(root: Path, files: Mapping[str, str], links: Mapping[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        file.write_text(text)
    for name, target in links.items():
        (root / name).symlink_to(target)


def _pivot(root: Path) -> None:
    """The new root lies over the old one, which is then taken off by the same name."""
    os.chdir(root)
    check(libc.syscall(architecture().pivot_root, b".", b"."), "change the root")
    check(libc.umount2(b".", kernel.DETACH), "leave the old root")
    os.chdir("/")
    mount(None, "/", REMOUNT | BIND | RDONLY | NOSUID | NODEV | NOEXEC)


def _refuse_other_mounts(shares: str | None) -> None:
    """Raise OSError when anything but a share is of a file system whose files may be opened by
    handles that somebody made up."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4].encode().decode("unicode_escape")
        kind = after.split(" ")[0]
        if kind not in KINDS and not (shares and point.startswith(f"{shares}/")):
            raise OSError(
                f"{point} is of the file system of a disk ({kind}), of which handles open any file"
            )


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
