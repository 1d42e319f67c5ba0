"""The pool with the most room wins, so that shares spread."""

from __future__ import annotations

from abaca.scheduler.filters.capacity import room_gb
from abaca.values import PlacementRequest, Pool


def weight(_request: PlacementRequest, pool: Pool) -> float:
    return room_gb(pool)
