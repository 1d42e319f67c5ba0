"""What is in a pool that is mounted: shares and snapshots, reached through descriptors, and what
shares are promised."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from abaca.drivers.linux import beneath
from abaca.drivers.linux.layout import NO_SHARE, OF_BACKUPS, safe_id
from abaca.drivers.linux.pools import subvolumes
from abaca.drivers.linux.pools.interface import NotThere
from abaca.drivers.linux.pools.room import Promise, Room, growth, room, surplus
from abaca.errors import OutcomeUnknown, Refused

NO_SHARES = (NO_SHARE, *OF_BACKUPS)
SUCCESSOR = "-successor"
"""Ends the name of what takes the place of a share's data when it is reverted."""


class Contents(NamedTuple):
    """Descriptors of a pool's top and of the folder in it that shares and snapshots are in, each by
    its id."""

    top: int
    shares: int

    def holds(self, name: str) -> bool:
        try:
            with self.subvolume(name):
                return True
        except NotThere:
            return False

    @contextmanager
    def subvolume(self, name: str) -> Iterator[int]:
        """A descriptor of a share's or a snapshot's own folder. Raises Refused when it is not
        there, or something else is in its place."""
        try:
            descriptor = beneath.open_beneath(
                self.shares, safe_id(name), os.O_RDONLY | os.O_DIRECTORY
            )
        except OSError as error:
            raise _as_refused(name, error) from error
        try:
            if os.fstat(descriptor).st_ino != subvolumes.FIRST_INODE:
                raise Refused(f"a folder is where the data of {name} should be in the pool")
            yield descriptor
        finally:
            os.close(descriptor)

    def number_of(self, name: str) -> int:
        with self.subvolume(name) as opened:
            return subvolumes.number_of(opened)

    def destroy(self, name: str) -> None:
        """Nothing there is success."""
        if self.holds(name):
            subvolumes.destroy(self.shares, safe_id(name))

    def promises(self) -> dict[str, Promise]:
        """By share id: once where a revert that was cut off has left two subvolumes of a share, and
        none for snapshots, which inherit the limit of their share."""
        groups = subvolumes.groups(self.top)
        promised: dict[str, Promise] = {}
        for found in subvolumes.subvolumes(self.shares):
            group = groups.get(found.number)
            if group is not None and group.limit is not None and not found.is_read_only:
                share_id = found.name.removesuffix(SUCCESSOR)
                other = promised.get(share_id, Promise(0, group.exclusive))
                promised[share_id] = Promise(
                    max(group.limit, other.size), min(group.exclusive, other.alone)
                )
        return promised

    def used(self) -> dict[str, int]:
        """What each share holds, in two searches however many there are. A snapshot, and what is to
        take the place of a share, is none."""
        groups = subvolumes.groups(self.top)
        return {
            found.name: groups[found.number].referenced
            for found in subvolumes.subvolumes(self.shares)
            if found.number in groups and not found.is_read_only
            and not found.name.endswith(SUCCESSOR) and not found.name.startswith(NO_SHARES)
        }  # fmt: skip

    def group(self, number: int) -> subvolumes.Group:
        """What a subvolume holds, as of the last commit."""
        found = subvolumes.groups(self.top).get(number)
        if found is None:
            raise OutcomeUnknown(f"btrfs does not count what its subvolume {number} holds")
        return found

    def room(self) -> Room:
        return room(self.size(), self._free(), self.promises().values())

    def growth(self, more: int) -> int:
        """Bytes that the file system is too small for promising `more` in it."""
        return growth(self.size(), self._free(), self.promises().values(), more)

    def surplus(self) -> int:
        """Bytes that the file system is larger than its promises need."""
        return surplus(self.size(), self._free(), self.promises().values())

    def size(self) -> int:
        """Bytes of the whole file system."""
        found = os.fstatvfs(self.top)
        return found.f_blocks * found.f_frsize

    def _free(self) -> int:
        found = os.fstatvfs(self.top)
        return found.f_bavail * found.f_frsize


def _as_refused(name: str, error: OSError) -> Exception:
    if error.errno == errno.ENOENT:
        return NotThere(f"the data of {name} is not in the pool")
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV):
        return Refused(
            f"something else is where the data of {name} should be in the pool: {error.strerror}"
        )
    return error
