"""Which ids a call is about: what `match` of a fault is compared with."""

from __future__ import annotations

from collections.abc import Sequence

from abaca.values import NetworkInfo, NetworkInfoUpdate, Share, Snapshot


def network_ids(network_info: Sequence[NetworkInfo]) -> list[str]:
    """Of share network subnets, and of their subnets."""
    return [
        id_
        for entry in network_info
        for id_ in (entry.share_network_subnet_id, entry.subnet.neutron_subnet_id)
    ]


def snapshot_ids(snapshot: Snapshot) -> tuple[str, ...]:
    """Of a snapshot instance, its snapshot and its share instance."""
    return snapshot.id, snapshot.snapshot_id, snapshot.share.id


def update_ids(update: NetworkInfoUpdate, shares: Sequence[Share]) -> list[str]:
    """Of a server, the subnets that come or go, and its shares."""
    changed = [*update.added, *update.removed]
    return [
        server_id(update),
        *network_ids(changed),
        *(share.id for share in shares),
        *(share.share_id for share in shares),
    ]


def server_id(update: NetworkInfoUpdate) -> str:
    """Of the server whose networks change."""
    return next(
        (entry.server_id for entry in (*update.current, *update.added, *update.removed)), ""
    )
