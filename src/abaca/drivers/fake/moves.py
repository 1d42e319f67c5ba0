"""What a fake back end answers when the networks of a share server have changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from abaca.drivers.fake.world import Server, StoredShare, StoredSnapshot
from abaca.values import (
    ExportLocation,
    NetworkInfo,
    ServerUpdate,
    Share,
    ShareUpdate,
    Snapshot,
    SnapshotUpdate,
)


class Locations(Protocol):
    """Where something is reached on these networks, what is `known` already among it."""

    def __call__(
        self,
        stored: StoredShare | StoredSnapshot,
        network_info: Sequence[NetworkInfo],
        known: Sequence[ExportLocation],
    ) -> list[ExportLocation]: ...


def is_mounted(snapshot: Snapshot) -> bool:
    """Whether it has export locations."""
    return snapshot.is_mountable and snapshot.is_complete


def has_moved(
    what: Share | Snapshot, stored: StoredShare | StoredSnapshot, locations: Locations
) -> bool:
    """Whether it is reached elsewhere than is described."""
    known = what.export_locations
    return {each.path for each in locations(stored, [], known)} != {each.path for each in known}


def moved(
    server: Server,
    locations: Locations,
    shares: Sequence[tuple[Share, StoredShare]],
    snapshots: Sequence[tuple[Snapshot, StoredSnapshot]],
) -> ServerUpdate:
    """Where shares and mounted snapshots of the server are reached now."""
    networks = server.network_info
    return ServerUpdate(
        share_updates={
            share.id: ShareUpdate(
                export_locations=locations(stored, networks, share.export_locations)
            )
            for share, stored in shares
        },
        snapshot_updates={
            snapshot.id: SnapshotUpdate(
                export_locations=locations(stored, networks, snapshot.export_locations)
            )
            for snapshot, stored in snapshots
        },
        backend_details=server.details(),
    )
