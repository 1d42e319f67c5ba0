"""The share type says whether the back end makes share servers; the pool must be of that kind."""

from __future__ import annotations

from abaca.scheduler.specs import reported, satisfies, wanted_capabilities
from abaca.values import PlacementRequest, Pool

NAME = "driver_handles_share_servers"


def why_not(request: PlacementRequest, pool: Pool) -> str | None:
    spec = wanted_capabilities(request.extra_specs).get(NAME)
    if spec is None or satisfies(reported(pool, NAME), spec):
        return None
    return f"lacks {NAME}={spec}"


def public_reason(request: PlacementRequest) -> str:
    return (
        f"do not have the share type's {NAME}={wanted_capabilities(request.extra_specs).get(NAME)}"
    )
