"""Where the share network has several subnets in the pool's zone, the back end must be able to set
a share server up on all of them."""

from __future__ import annotations

from abaca.scheduler.specs import reported, satisfies
from abaca.values import PlacementRequest, Pool

NAME = "share_server_multiple_subnet_support"


def why_not(request: PlacementRequest, pool: Pool) -> str | None:
    if not (request.zones or {}).get(pool.availability_zone) or satisfies(
        reported(pool, NAME), "<is> True"
    ):
        return None
    return (
        f"lacks {NAME}=True, and the share network has several subnets in zone "
        f"{pool.availability_zone}"
    )


def public_reason(_request: PlacementRequest) -> str:
    return (
        f"lack {NAME}=True, which a share network with several subnets in one availability "
        "zone needs"
    )
