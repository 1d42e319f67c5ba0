"""Every extra spec about pools must be satisfied by what the pool reports. Names all that
are not."""

from __future__ import annotations

from abaca.scheduler.filters.availability_zone import TYPE_ZONES
from abaca.scheduler.filters.driver_handles_share_servers import NAME as HANDLES_SERVERS
from abaca.scheduler.specs import SHOWN_CAPABILITIES, reported, satisfies, wanted_capabilities
from abaca.values import PlacementRequest, Pool

_JUDGED_ELSEWHERE = {TYPE_ZONES, HANDLES_SERVERS}


def why_not(request: PlacementRequest, pool: Pool) -> str | None:
    lacking = [
        f"{name}={spec.removeprefix('<is>').strip()}"
        for name, spec in sorted(wanted_capabilities(request.extra_specs).items())
        if name not in _JUDGED_ELSEWHERE and not satisfies(reported(pool, name), spec)
    ]
    return f"lacks {', '.join(lacking)}" if lacking else None


def public_reason(request: PlacementRequest) -> str:
    wanted = wanted_capabilities(request.extra_specs).keys() - _JUDGED_ELSEWHERE
    if wanted - SHOWN_CAPABILITIES:
        return "lack a capability that the share type asks for"
    return f"do not have all that the share type asks for: {', '.join(sorted(wanted))}"
