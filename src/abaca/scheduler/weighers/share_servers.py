"""Of pools with the same room, the one whose back end has the fewest share servers wins."""

from __future__ import annotations

from abaca.values import PlacementRequest, Pool


def weight(_request: PlacementRequest, pool: Pool) -> float:
    return -pool.share_servers
