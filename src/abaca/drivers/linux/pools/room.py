"""How much of a pool may still be promised, so that every promise can be kept: arithmetic only. All sizes are in bytes.

A share is promised its size, whatever its tenant and others do. What it already holds *alone* is part of that; what it holds together with
snapshots or clones is not, because writing over it needs new room while they keep the old. So a pool *owes* each share its size less what it
holds alone, and all that is owed must fit into what is free. A snapshot makes the share hold nothing alone: it costs what was held alone before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

MIB = 1024**2
GIB = 1024**3
_OVERHEAD = 16
"""For so many bytes promised, one is kept for what the file system writes beside them (checksums, its own trees)."""
_LARGE = 50 * GIB  # from here on btrfs takes room in pieces of 1 GiB for metadata, too; below, 256 MiB


class Promise(NamedTuple):
    """What a share may hold, and what it holds alone."""

    size: int
    alone: int


class Room(NamedTuple):
    """`total`, `free`: what could be promised of the whole pool, and of what is not written yet. `promised`: sizes. `owed`: see the module."""

    total: int
    free: int
    promised: int
    owed: int

    def left(self, ratio: float) -> int:
        """What may still be promised; below zero when not all promises can be kept. `ratio`: how many times the pool may be promised."""
        return self.free - self.owed + int((ratio - 1) * self.total)

    @property
    def kept_beside(self) -> int:
        """What is written and is no part of a share's size: snapshots, and what was deleted and has not come back yet."""
        return max(0, self.total - self.free - (self.promised - self.owed))


def room(total: int, free: int, promises: Iterable[Promise]) -> Room:
    """`total`, `free`: as the file system says."""
    sizes = [(each.size, max(0, each.size - each.alone)) for each in promises]
    own, slack = (min(kept, total // 4) for kept in _kept(total))
    promised, owed = sum(size for size, _ in sizes), sum(owed for _, owed in sizes)
    promisable = _promisable(total - own - slack)
    return Room(promisable, min(promisable, _promisable(free - slack)), promised, owed)


def size_of_image(promisable: int) -> int:
    """Of a file system of which `promisable` can be promised."""
    with_overhead = promisable + promisable // _OVERHEAD + MIB
    return with_overhead + sum(_kept(with_overhead + GIB))


def _kept(total: int) -> tuple[int, int]:
    """What a new file system takes for itself, and what must stay free: where less is, btrfs refuses some writes, although there is room, before it
    has tidied up (seen with 256 MiB free of 2.4 GiB)."""
    return (1152 * MIB, 1536 * MIB) if total > _LARGE else (320 * MIB, 512 * MIB)


def _promisable(free: int) -> int:
    return max(0, free * _OVERHEAD // (_OVERHEAD + 1))
