"""A request may name the only pools that it takes, and pools that it does not take: those that its
scheduler hints lead to."""

from __future__ import annotations

from abaca.values import PlacementRequest, Pool


def why_not(request: PlacementRequest, pool: Pool) -> str | None:
    host = str(pool.host)
    if request.only_pools is not None and host not in request.only_pools:
        return "is not where the scheduler hints ask for"
    if host in request.not_pools:
        return "has a share that the scheduler hints ask to stay away from"
    return None


def public_reason(_request: PlacementRequest) -> str:
    return "are excluded by the scheduler hints"
