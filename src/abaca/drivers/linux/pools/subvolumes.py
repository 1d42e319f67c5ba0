"""What btrfs knows of subvolumes and their quota groups, asked and changed through descriptors
(`btrfs-ioctl(2)`): no path is resolved here.

Sizes are in bytes. A subvolume's *number* is btrfs's id of it, and of its quota group,
`0/<number>`.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

# _IO(0x94, n) with the size of the argument, as linux/btrfs.h has them.
_SYNC = 0x9408
_COMMIT_START, _COMMIT_WAIT = 0x80089418, 0x40089416
_SUBVOLUME_CREATE, _SNAPSHOT_DESTROY, _SNAPSHOT_CREATE = 0x5000940E, 0x5000940F, 0x50009417
_TREE_SEARCH, _INODE_LOOKUP = 0xC0709411, 0xD0009412
_GROUP_LIMIT = 0x8030942B
_FILESYSTEM, _SUBVOLUME_INFO = 0x8400941F, 0x81F8943C
_READ_ONLY = 1 << 1
_LIMIT_REFERENCED = 1 << 0
_ROOT_TREE, _QUOTA_TREE = 1, 8
_ROOT_ITEM, _ROOT_REF, _GROUP_INFO, _GROUP_LIMIT_ITEM = 132, 156, 242, 244
_ROOT_ITEM_FLAGS = 208  # offset of the flags in struct btrfs_root_item
FIRST_INODE = 256
"""The inode number of a subvolume's own folder."""
_HIGHEST = 2**64 - 1
_INFO_BYTES = 504
_INFO_FLAGS = 288  # offsets in struct btrfs_ioctl_get_subvol_info_args
_INFO_IDS = struct.Struct("8x16s16s")  # after the flags
_ARGUMENT_BYTES = 4096
_SEARCH_BYTES = 65536
# tree, ranges of object ids, offsets, transactions; of kinds; how many; bytes for the answer
_SEARCH_HEAD = struct.Struct("<7Q4I32xQ")
_ITEM_HEAD = struct.Struct("<QQQII")


class Subvolume(NamedTuple):
    """One subvolume of a folder."""

    number: int
    name: str
    is_read_only: bool


class Origin(NamedTuple):
    """What a subvolume is a copy of: its own id, and that of its source (None: of none)."""

    id: UUID
    source: UUID | None
    is_read_only: bool


class Group(NamedTuple):
    """What a subvolume holds: all of it, what nothing else holds, and how much it may hold (None:
    as much as there is)."""

    referenced: int
    exclusive: int
    limit: int | None


class _Item(NamedTuple):
    objectid: int
    kind: int
    offset: int
    data: bytes


def create(folder: int, name: str) -> None:
    """Make an empty subvolume in a folder."""
    fcntl.ioctl(folder, _SUBVOLUME_CREATE, _named(struct.pack("q", 0), name))


def snapshot(folder: int, name: str, source: int, *, read_only: bool) -> None:
    """Make a copy, in a folder, of the subvolume whose own folder `source` is open on."""
    flags = _READ_ONLY if read_only else 0
    fcntl.ioctl(folder, _SNAPSHOT_CREATE, _named(struct.pack("qQQ32x", source, 0, flags), name))


def destroy(folder: int, name: str) -> None:
    """Delete a subvolume of a folder. Its room comes back a little later."""
    fcntl.ioctl(folder, _SNAPSHOT_DESTROY, _named(struct.pack("q", 0), name))


def number_of(folder: int) -> int:
    """Of the subvolume that a folder is in."""
    argument = bytearray(struct.pack("QQ", 0, FIRST_INODE).ljust(_ARGUMENT_BYTES, b"\0"))
    fcntl.ioctl(folder, _INODE_LOOKUP, argument)
    return int(struct.unpack_from("Q", argument)[0])


def origin_of(folder: int) -> Origin:
    """Of the subvolume that a folder is in."""
    argument = bytearray(_INFO_BYTES)
    fcntl.ioctl(folder, _SUBVOLUME_INFO, argument)
    flags = struct.unpack_from("Q", argument, _INFO_FLAGS)[0]
    own, source = _INFO_IDS.unpack_from(argument, _INFO_FLAGS)
    return Origin(UUID(bytes=own), UUID(bytes=source) if any(source) else None, bool(flags & 1))


def settings(pool: int) -> Path:
    """The folder in which the kernel shows and takes settings of this file system."""
    argument = bytearray(1024)
    fcntl.ioctl(pool, _FILESYSTEM, argument)
    return Path("/sys/fs/btrfs", str(UUID(bytes=bytes(argument[16:32]))))


def store(pool: int) -> None:
    """Have everything written and counted that is still in memory."""
    fcntl.ioctl(pool, _SYNC)


def commit(pool: int) -> None:
    """Have what was changed here on stable storage; files' data that is still in memory is not
    waited for."""
    transaction = bytearray(8)
    fcntl.ioctl(pool, _COMMIT_START, transaction)
    fcntl.ioctl(pool, _COMMIT_WAIT, transaction)


def set_limit(pool: int, number: int, limit: int) -> None:
    """`pool`: a descriptor of its top: with one of a full share's own, it fails."""
    fcntl.ioctl(pool, _GROUP_LIMIT, struct.pack("6Q", number, _LIMIT_REFERENCED, limit, 0, 0, 0))


def groups(pool: int) -> dict[int, Group]:
    """By number, also of subvolumes that are gone but not forgotten. As of the last commit: see
    `store`."""
    found: dict[int, Group] = {}
    limits: dict[int, int] = {}
    for item in _search(pool, _QUOTA_TREE, (_GROUP_INFO, _GROUP_LIMIT_ITEM)):
        if item.kind == _GROUP_INFO:
            _, referenced, _, exclusive, _ = struct.unpack_from("5Q", item.data)
            found[item.offset] = Group(referenced, exclusive, None)
        elif item.kind == _GROUP_LIMIT_ITEM:
            flags, most = struct.unpack_from("QQ", item.data)
            if flags & _LIMIT_REFERENCED:
                limits[item.offset] = most
    return {number: group._replace(limit=limits.get(number)) for number, group in found.items()}


def subvolumes(folder: int) -> list[Subvolume]:
    """Those whose parent is this folder."""
    parent, inode = number_of(folder), os.fstat(folder).st_ino
    names: dict[int, str] = {}
    read_only: set[int] = set()
    for item in _search(folder, _ROOT_TREE, (_ROOT_ITEM, _ROOT_REF)):
        if item.kind == _ROOT_ITEM and struct.unpack_from("Q", item.data, _ROOT_ITEM_FLAGS)[0] & 1:
            read_only.add(item.objectid)
        elif item.kind == _ROOT_REF and item.objectid == parent:
            within, _, length = struct.unpack_from("<QQH", item.data)
            if within == inode:
                names[item.offset] = os.fsdecode(item.data[18 : 18 + length])
    return [Subvolume(number, name, number in read_only) for number, name in names.items()]


def has_inner(folder: int) -> bool:
    """Whether there are subvolumes anywhere in the one that a folder is in."""
    parent = number_of(folder)
    items = _search(folder, _ROOT_TREE, (_ROOT_ITEM, _ROOT_REF))
    return any(item.kind == _ROOT_REF and item.objectid == parent for item in items)


def _named(start: bytes, name: str) -> bytearray:
    encoded = os.fsencode(name)
    if not encoded or b"/" in encoded or b"\0" in encoded or len(encoded) > 255:
        raise ValueError(f"{name!r} is not the name of a subvolume")
    return bytearray((start + encoded).ljust(_ARGUMENT_BYTES, b"\0"))


def _search(folder: int, tree: int, kinds: tuple[int, int]) -> Iterator[_Item]:
    """The items of these kinds in a tree, in order of their keys: (object id, kind, offset)."""
    key = (0, min(kinds), 0)
    while True:
        argument = bytearray(_SEARCH_HEAD.size + _SEARCH_BYTES)
        from_object, from_kind, from_offset = key
        to = (_HIGHEST, max(kinds), _HIGHEST)
        _SEARCH_HEAD.pack_into(
            argument,
            0,
            tree,
            from_object,
            to[0],
            from_offset,
            to[2],
            0,
            _HIGHEST,
            from_kind,
            to[1],
            2**32 - 1,
            0,
            _SEARCH_BYTES,
        )
        fcntl.ioctl(folder, _TREE_SEARCH, argument)
        found = _SEARCH_HEAD.unpack_from(argument)[9]
        at = _SEARCH_HEAD.size
        for _ in range(found):
            _, objectid, offset, kind, length = _ITEM_HEAD.unpack_from(argument, at)
            at += _ITEM_HEAD.size
            if kind in kinds:
                yield _Item(objectid, kind, offset, bytes(argument[at : at + length]))
            at += length
            key = (objectid, kind, offset)
        if not found:
            return
        key = _after(key)


def _after(key: tuple[int, int, int]) -> tuple[int, int, int]:
    objectid, kind, offset = key
    if offset < _HIGHEST:
        return objectid, kind, offset + 1
    return (objectid, kind + 1, 0) if kind < 255 else (objectid + 1, 0, 0)
