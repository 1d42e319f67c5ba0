"""A tree of files such as only a hostile tenant makes, and what of it can be told apart."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import stat
from pathlib import Path
from typing import NamedTuple

NAMES = 10_000
DEEP = 200
SPARSE = 64 << 20
PLAIN = (
    b"-rf",
    b"--tag",
    b"$HOME",
    b"*",
    b"a\nb",
    b"\x1b[2J",
    b"{}",
    b'"',
    b"%s",
    b" ",
    b"\\",
    b"...",
)


class Seen(NamedTuple):
    """Of one file, folder or link. `content`: a link's target, a file's hash."""

    mode: int
    owner: tuple[int, int]
    changed: int
    links: int
    size: int
    content: bytes
    attributes: dict[str, bytes]


def make(top: Path) -> None:
    """Everything that is kept by a backup."""
    chosen = random.Random(18)
    root = os.fsencode(top)
    names = set(PLAIN) | {b"\xff" * 255}
    while len(names) < NAMES:
        name = bytes(chosen.choice(_LETTERS) for _ in range(chosen.randint(1, 40)))
        names |= {name} - {b".", b".."}
    many = root + b"/many"
    os.mkdir(many)
    for number, name in enumerate(sorted(names)):
        with open(many + b"/" + name, "wb") as file:
            file.write(name if number % 7 else b"")
    deep = root
    for _ in range(DEEP):
        deep += b"/d"
        os.mkdir(deep)
    Path(os.fsdecode(deep), "bottom").write_text("deep")
    _make_special(top)


_LETTERS = [code for code in range(1, 256) if code != ord("/")]


def _make_special(top: Path) -> None:
    (top / "secret").write_text("for its owner")
    os.chown(top / "secret", 1234, 5678)
    (top / "secret").chmod(0o4600)
    (top / "closed").mkdir()
    (top / "closed/inside").write_text("inside")
    os.chown(top / "closed", 1234, 5678)
    (top / "closed").chmod(0o2700)
    os.link(top / "secret", top / "closed/hard")
    with open(top / "sparse", "wb") as sparse:
        sparse.truncate(SPARSE)
    os.setxattr(top / "secret", "user.note", b"\x00\xff")
    os.setxattr(top / "closed", "user.folder", b"kept")
    for name, target in (("passwd", "/etc/passwd"), ("up", "../../.."), ("nowhere", "nothing")):
        (top / name).symlink_to(target)
    os.mkfifo(top / "fifo")
    os.utime(top / "sparse", ns=(1, 10**18 + 1))


def add_what_is_not_kept(top: Path) -> list[str]:
    """Device nodes and a socket; their names."""
    os.mknod(top / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(top / "disk", 0o666 | stat.S_IFBLK, os.makedev(7, 0))
    folder = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(f"/proc/self/fd/{folder}/s")  # an address has 107 bytes at most
    finally:
        os.close(folder)
    return ["null", "disk", "s"]


def seen(top: Path) -> dict[bytes, Seen]:
    """Everything below `top`, by its path from there."""
    found, waiting = {}, [os.fsencode(top)]
    while waiting:
        folder = waiting.pop()
        for entry in os.scandir(folder):
            found[os.path.relpath(entry.path, os.fsencode(top))] = _seen(entry)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
    return found


def _seen(entry: os.DirEntry[bytes]) -> Seen:
    status = entry.stat(follow_symlinks=False)
    content, size = b"", 0
    if stat.S_ISLNK(status.st_mode):
        content = os.readlink(entry.path)
    elif stat.S_ISREG(status.st_mode):
        size = status.st_size
        with open(entry.path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
    return Seen(
        mode=status.st_mode,
        owner=(status.st_uid, status.st_gid),
        changed=status.st_mtime_ns,
        links=0 if stat.S_ISDIR(status.st_mode) else status.st_nlink,
        size=size,
        content=content,
        attributes={
            name: os.getxattr(entry.path, name, follow_symlinks=False)
            for name in os.listxattr(entry.path, follow_symlinks=False)
        },
    )
