"""How much of a pool may still be promised, so that every promise can be kept: arithmetic only. All
sizes are in bytes.

A share is promised its size, whatever its tenant and others do. What it already holds *alone* is
part of that; what it holds together with snapshots or clones is not, because writing over it needs
new room while they keep the old. So a pool *owes* each share its size less what it holds alone, and
all that is owed must fit into what is free. A snapshot makes the share hold nothing alone: it costs
what was held alone before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

MIB = 1024**2
GIB = 1024**3
_OVERHEAD = 16
"""For so many bytes promised, one is kept for what the file system writes beside them (checksums,
its own trees)."""
# from here on btrfs takes room in pieces of 1 GiB for metadata, too; below, 256 MiB
_LARGE = 50 * GIB


class Promise(NamedTuple):
    """What a share may hold, and what it holds alone."""

    size: int
    alone: int


class Room(NamedTuple):
    """`total`, `free`: what could be promised of the whole pool, and of what is not written yet.
    `promised`: sizes. `owed`: see the module."""

    total: int
    free: int
    promised: int
    owed: int

    def left(self, ratio: float) -> int:
        """What may still be promised; below zero when not all promises can be kept. `ratio`: how
        many times the pool may be promised."""
        return self.free - self.owed + int((ratio - 1) * self.total)

    @property
    def kept_beside(self) -> int:
        """What is written and is no part of a share's size: snapshots, and what was deleted and has
        not come back yet."""
        return max(0, self.total - self.free - (self.promised - self.owed))


def room(total: int, free: int, promises: Iterable[Promise]) -> Room:
    """`total`, `free`: as the file system says."""
    sizes = [(each.size, max(0, each.size - each.alone)) for each in promises]
    own, slack = (min(kept, total // 4) for kept in _kept(total))
    promised, owed = sum(size for size, _ in sizes), sum(owed for _, owed in sizes)
    whole = promisable(total - own - slack)
    return Room(whole, min(whole, promisable(free - slack)), promised, owed)


def growth(total: int, free: int, promises: Collection[Promise], more: int) -> int:
    """How many bytes larger a file system must become, so that `more` can be promised in it beside
    all that is."""
    by = 0
    while (lacking := more - room(total + by, free + by, promises).left(1)) > 0:
        by += lacking + lacking // _OVERHEAD + MIB
    return by


def surplus(total: int, free: int, promises: Collection[Promise]) -> int:
    """How many bytes smaller a file system may become, to the MiB, so that all promises in it can
    still be kept."""
    fits, too_much = 0, free
    while too_much - fits > MIB:
        tried = (fits + too_much) // 2
        if room(total - tried, free - tried, promises).left(1) >= 0:
            fits = tried
        else:
            too_much = tried
    return fits


def beside(free: int) -> int:
    """What can be promised in a new file system, of its own, that takes so many bytes of a pool."""
    return promisable(free - sum(_kept(0)))


def size_of_image(wanted: int) -> int:
    """Of a file system of which `wanted` bytes can be promised."""
    with_overhead = wanted + wanted // _OVERHEAD + MIB
    return with_overhead + sum(_kept(with_overhead + GIB))


def _kept(total: int) -> tuple[int, int]:
    """What a new file system takes for itself, and what must stay free: where less is, btrfs
    refuses some writes, although there is room, before it has tidied up (seen with 256 MiB free of
    2.4 GiB)."""
    return (1152 * MIB, 1536 * MIB) if total > _LARGE else (320 * MIB, 512 * MIB)


def promisable(free: int) -> int:
    """How much of so many free bytes can be promised, when the rest is for what the file system
    writes beside."""
    return max(0, free * _OVERHEAD // (_OVERHEAD + 1))
