"""The worker that serves the pool must be up and enabled."""

from __future__ import annotations

from abaca.values import PlacementRequest, Pool


def why_not(_request: PlacementRequest, pool: Pool) -> str | None:
    """Down wins over disabled: the first is news to the administrator, the second is not."""
    if not pool.is_up:
        return "is down"
    return None if pool.is_enabled else "is disabled"


def public_reason(_request: PlacementRequest) -> str:
    return "are down or disabled"
