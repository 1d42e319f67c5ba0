"""The files that an NFS server sees: a root of its own on a tmpfs, in which nothing of the host is but what is named here.

Runs in the launcher, as the first process of new mount and process namespaces. Every mount of the
host is gone from this namespace afterwards, so no path and no `..` leads to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from abaca.drivers.linux.file_services.nfs.cell import kernel
from abaca.drivers.linux.file_services.nfs.cell.kernel import BIND, NODEV, NOEXEC, NOSUID, RDONLY, REC, REMOUNT, SLAVE, check, libc, mount
from abaca.drivers.linux.file_services.nfs.cell.privileges import architecture

LINKS = {"lib": "usr/lib", "lib64": "usr/lib64", "etc/mtab": "/proc/self/mounts"}
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
# The host's users are nobody's business: NFS-Ganesha passes on numbers.
FILES = {
    "etc/passwd": "root:x:0:0::/:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nprotocols: files\nservices: files\nnetgroup: files\ninitgroups: files\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
}
FEW_BYTES = "mode=0755,size=1m,nr_inodes=1k"


def enter(root: Path, read_only: Iterable[str], writable: Iterable[str], private: Iterable[str], shares: str | None) -> None:
    """Make `root`, an empty folder, this process's root.

    `read_only` and `writable`: paths of the host that are seen under the same names (those of them
    that are there). `private`: empty folders of its own, which it may write. `shares`: a shared
    mount, seen read-only itself; what the host mounts in it later is seen as it is mounted.
    """
    mount(None, "/", REC | SLAVE)
    mount("tmpfs", root, NOSUID | NODEV | NOEXEC, "tmpfs", FEW_BYTES)
    for folder in private:
        _private(root, folder)
    for path in (*read_only, *DEVICES):
        _bind(root, path, RDONLY if path not in DEVICES else 0)
    for path in writable:
        _bind(root, path, 0)
    if shares is not None:
        _bind(root, shares, RDONLY, REC)
    _write(root, FILES, LINKS)
    _below(root, "/proc").mkdir()
    mount("proc", _below(root, "/proc"), NOSUID | NODEV | NOEXEC | RDONLY, "proc", "subset=pid")
    _pivot(root)


def _private(root: Path, folder: str) -> None:
    target = _below(root, folder)
    target.mkdir(mode=0o755, parents=True, exist_ok=True)
    mount("tmpfs", target, NOSUID | NODEV | NOEXEC, "tmpfs", FEW_BYTES)


def _bind(root: Path, path: str, flags: int, recursive: int = 0) -> None:
    if not os.path.exists(path):
        return
    target = _below(root, path)
    if os.path.isdir(path):
        target.mkdir(mode=0o755, parents=True, exist_ok=True)
    else:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        target.touch()
    mount(path, target, BIND | recursive)
    device = 0 if path in DEVICES else NODEV
    mount(None, target, BIND | REMOUNT | NOSUID | device | flags)


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


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
