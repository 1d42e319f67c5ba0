"""What is mounted where, and mounting and unmounting. Knows nothing of shares."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from abaca.drivers.linux.programs import run
from abaca.errors import OutcomeUnknown

WITHOUT_HANDLES = "nfs_export=off,index=off,redirect_dir=off,metacopy=off"
"""Options of an overlay that opens nothing by handle, whatever is usual on this machine."""


class Mount(NamedTuple):
    """One line of mountinfo. `flags`: of this mount, for example `nodev`; `options`: of the file
    system, for example `subvolid=256`."""

    point: Path
    root: str
    filesystem: str
    source: str
    flags: frozenset[str]
    options: frozenset[str]


def mounts_below(path: Path) -> list[Mount]:
    """Mounts at `path` or below it, the last one made first: the order in which they can be
    unmounted."""
    within = f"{str(path).rstrip('/')}/"
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    # a line for each share of this machine: only those asked for are looked at further
    return [_parse(line) for line in lines[::-1] if f"{_point(line)}/".startswith(within)]


def mount_at(path: Path) -> Mount | None:
    """The topmost mount exactly at `path`."""
    return next((mount for mount in mounts_below(path) if mount.point == path), None)


def mount(source: str, point: Path, options: str, kind: str | None = None) -> None:
    """Mount `source` at `point`, which is made when it is not there. `kind`: of file system, where
    the source does not tell."""
    point.mkdir(mode=0o700, parents=True, exist_ok=True)
    run("mount", *(["-t", kind] if kind else []), "-o", options, source, str(point))


def ensure_flags(mounted: Mount, flags: str) -> None:
    """Give a mount these flags, separated by commas, where it lacks one; who uses it notices
    nothing."""
    if not mounted.flags.issuperset(flags.split(",")):
        run("mount", "-o", f"remount,bind,{flags}", str(mounted.point))


def mount_shared(point: Path) -> None:
    """Make `point` an empty file system of its own; mount namespaces that are made of it later
    receive what is mounted in it."""
    mount("tmpfs", point, "mode=0700,size=1m,nosuid,nodev,noexec", kind="tmpfs")
    # apart from whatever the mount that it lies in is shared with
    run("mount", "--make-private", str(point))
    run("mount", "--make-shared", str(point))


def mount_without_handles(folder: Path, beside: Path) -> None:
    """Mount an overlay of a folder over the folder itself: all is as before, but that nothing is
    opened by a file handle through it, of the folder or of the disk that it is on. `beside`: an
    empty folder on the same disk, for what the kernel keeps."""
    empty, work = beside / "empty", beside / folder.name
    for each in (empty, work):
        each.mkdir(mode=0o700, exist_ok=True)
    mount(
        "overlay",
        folder,
        f"lowerdir={empty},upperdir={folder},workdir={work},{WITHOUT_HANDLES},nosuid,nodev,noexec",
        kind="overlay",
    )


def unmount(path: Path) -> None:
    """Take away every mount at `path` and below. Nothing there is success; what is in use vanishes
    for new openers at once."""
    for mounted in mounts_below(path):
        try:
            run("umount", str(mounted.point))
        except OutcomeUnknown:
            run("umount", "--lazy", str(mounted.point))


def _point(line: str) -> str:
    return _unescape(line.split(" ", 5)[4])


def _parse(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    fields = before.split(" ")
    filesystem, source, options = after.split(" ", 2)
    flags = frozenset(fields[5].split(","))
    return Mount(
        Path(_point(line)),
        _unescape(fields[3]),
        filesystem,
        _unescape(source),
        flags,
        frozenset(options.split(",")),
    )


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
