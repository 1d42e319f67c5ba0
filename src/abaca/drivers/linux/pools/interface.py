"""The seam of pools: where the bytes of shares are, and why nothing of one share can be reached
from another.

`FileSystems` is a back end's, `Pool` one share server's: what holds its shares and snapshots. They
know nothing of networks and of who speaks to clients. Ids are those of share instances, snapshot
instances and share servers. Every method may be repeated, after a call that was cut off, too, and
raises BackendErrors, sorted by what to do next: among them Unavailable when the pool is not
mounted, and Refused where something else is in the place of a share's data. What shares are
promised outlives a power cut once a call has come back.

The contract suite: tests/contracts/seams/test_pools.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

from abaca.drivers.linux.storage import Source, Storage
from abaca.errors import Refused


class NotThere(Refused):
    """The pool does not have the data of this share or snapshot."""


class Capacity(NamedTuple):
    """Bytes that could be promised of the whole, and of what is not written yet; what is kept
    beside shares' sizes (see `room`)."""

    total: int
    free: int
    kept_beside: int


class Place(NamedTuple):
    """What is mounted to have the data of one share or snapshot, and nothing else: the device, and
    the option that names the data."""

    device: str
    option: str


class Pool(Protocol):
    """The shares and snapshots of one share server. Sizes of shares are in GiB; each is promised
    its size, whatever others do."""

    def path(self, share_id: str) -> Path:
        """Where an administrator finds the data of a share or snapshot. Not for root to open: see
        `beneath`."""

    def has(self, share_id: str) -> bool:
        """Whether there is data of this share or snapshot."""

    def share_ids(self) -> list[str]:
        """The shares and snapshots that there is data of."""

    def create(self, share_id: str, size_gib: int) -> None:
        """Make sure of an empty share that everybody may write to, and of its size. Raises
        NoSpace."""

    def adopt(self, share_id: str, name: str) -> int:
        """Make sure that what an administrator has put beside the shares as `name`, or left there
        as `share_id`, is the data of a share of that id, and of its size, which is returned: what
        it was limited to, or else what it holds, in whole GiB.

        Raises NotThere; Refused for what is no data of a share; NoSpace.
        """

    def snapshot(self, snapshot_id: str, share_id: str) -> None:
        """Make sure of a read-only copy of what a share holds now. Raises NoSpace, and leaves none,
        when it would cost a share its room."""

    def snapshot_all(
        self, snapshots: Mapping[str, str], still: AbstractContextManager[object]
    ) -> None:
        """Take read-only copies of what several shares hold, by their ids, of one instant; those
        that are there are exchanged. Raises NoSpace, and whatever `still` raises, and leaves none.

        `still` is entered for the moment in which they are taken: nothing is written to the shares
        in it.
        """

    def is_snapshot_of(self, snapshot_id: str, share_id: str) -> bool:
        """Whether there is a read-only copy by that id of what this very share holds or held: taken
        of it since it was last reverted, or what it was reverted to."""

    def clone(self, share_id: str, snapshot_id: str, size_gib: int) -> None:
        """Make sure of a share with what a snapshot holds; neither needs the other afterwards.
        Raises NoSpace."""

    def revert(
        self, share_id: str, snapshot_id: str, size_gib: int, unused: AbstractContextManager[object]
    ) -> None:
        """Exchange what a share holds for what a snapshot holds. Raises NoSpace, the share being as
        it was.

        `unused` is entered for the moment of the exchange: in it the share is mounted nowhere. Cut
        off anywhere, the share has the one or the other.
        """

    def resize(self, share_id: str, size_gib: int) -> None:
        """Set the size. Raises NoSpace when so much cannot be promised; Refused when the share
        holds more."""

    def ensure_limits(self, sizes_gib: Mapping[str, int]) -> None:
        """Have shares keep to these sizes, whatever they hold already."""

    def delete(self, share_id: str) -> None:
        """Delete the data of a share or snapshot. Nothing there is success. The room comes back a
        little later."""

    def used(self, share_id: str) -> int:
        """Bytes that a share holds, written ones that are still in memory included."""

    def mount(self, share_id: str, point: Path, *, read_only: bool = False) -> bool:
        """Mount a share or a snapshot by itself at `point`, as data only: no devices, no programs,
        no links that this host would follow.

        True when that was to be done; what else was mounted there is replaced. Raises Refused
        (NotThere) without data.
        """

    def place(self, share_id: str) -> Place:
        """How the data of a share or snapshot is mounted by itself. Raises Refused (NotThere)
        without data."""

    def source(self, share_id: str) -> Source | None:
        """Where a file service finds the data of a share by itself; None: it is to be mounted.
        Raises Refused (NotThere) without data."""

    def ensure_empty(self, name: str) -> int:
        """Make sure of something like a share that is not one: it is promised nothing, and nobody
        may write to it.

        Returns the number by which file handles tell its data from that of others.
        """

    def end_clients(self) -> list[str]:
        """End what file services that have ended left behind, where storage waits for them.
        Returns the ids of what was looked at."""

    def counts(self) -> Path | None:
        """The folder in which the kernel tells what each share holds and may hold; None where that
        is seen in the share itself."""


class FileSystems(Protocol):
    """Which file system the shares of a share server are in. Callers hold the lock of the server
    that they name."""

    @property
    def pool(self) -> Pool:
        """What all of them are in: shares themselves, or images of file systems with shares."""

    @property
    def storage(self) -> Storage | None:
        """The network by which file services reach the data; None: it is mounted for them."""

    def prepare(self) -> None:
        """When the back end starts: make and mount what is missing. Raises Unavailable with what is
        wrong."""

    def answers(self, patience: float) -> bool:
        """Whether the disk has said anything within `patience` seconds; that it is full or
        read-only is an answer, too."""

    def ensure(self, server_id: str) -> None:
        """Make sure of the file system of a server. Raises NoSpace."""

    def of(self, server_id: str) -> Pool:
        """Where the shares of a server are. Raises Refused (NotThere) when it has no file
        system."""

    def holding(self, share_id: str) -> Pool:
        """The one with data of this share or snapshot, whatever its share server is; no lock is
        needed. Raises Refused (NotThere) where none has."""

    def fence(self, server_id: str) -> None:
        """Shut out whatever uses the data of a server, on other hosts, too: no write of it happens
        after this. Only where there is `storage`."""

    def remove(self, server_id: str) -> None:
        """Take it away, unless it holds shares or snapshots. Nothing there is success."""

    def capacity(self) -> Capacity:
        """Of all together. Raises Unavailable when the pool is not mounted, or cannot be
        written."""

    def used_by_share(self) -> dict[str, int]:
        """Bytes that each share holds, by its id. Shares whose file system cannot be used are left
        out."""
