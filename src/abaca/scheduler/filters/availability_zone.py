"""The pool must be in the zone asked for, in a zone in which the share network has subnets, and in
a zone that the share type allows."""

from __future__ import annotations

from abaca.values import PlacementRequest, Pool

TYPE_ZONES = "availability_zones"
"""Extra spec of a share type: the zones it may be used in, separated by commas."""


def why_not(request: PlacementRequest, pool: Pool) -> str | None:
    zone = pool.availability_zone
    if request.availability_zone is not None and zone != request.availability_zone:
        return f"is in zone {zone}, not in {request.availability_zone}"
    if request.zones is not None and zone not in request.zones:
        return f"is in zone {zone}, in which the share network has no subnet"
    allowed = [
        name.strip() for name in request.extra_specs.get(TYPE_ZONES, "").split(",") if name.strip()
    ]
    if allowed and zone not in allowed:
        return f"is in zone {zone}, which the share type does not allow"
    return None


def public_reason(_request: PlacementRequest) -> str:
    return (
        "are in an availability zone that the request, the share network or the share type excludes"
    )
