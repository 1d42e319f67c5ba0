"""One file per filter. A filter says why a pool cannot take a request, in words that follow the
pool's name, or None when it can.

The order below is the order in which pools are rejected: cheap and informative reasons first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from abaca.scheduler.filters import (
    availability_zone,
    capabilities,
    capacity,
    driver_handles_share_servers,
    hints,
    multiple_subnets,
    service,
    storage_protocol,
)
from abaca.values import PlacementRequest, Pool


class Filter(NamedTuple):
    """`why_not(request, pool)`: for operators, with names and figures, in words that follow the
    pool's name; None when the pool fits.

    `public_reason(request)`: for callers, why pools were rejected, as words that follow "back
    ends". Reveals nothing about a pool.
    """

    name: str
    why_not: Callable[[PlacementRequest, Pool], str | None]
    public_reason: Callable[[PlacementRequest], str]


FILTERS = (
    Filter("service", service.why_not, service.public_reason),
    Filter("availability zone", availability_zone.why_not, availability_zone.public_reason),
    Filter(
        "share server handling",
        driver_handles_share_servers.why_not,
        driver_handles_share_servers.public_reason,
    ),
    Filter("multiple subnets", multiple_subnets.why_not, multiple_subnets.public_reason),
    Filter("storage protocol", storage_protocol.why_not, storage_protocol.public_reason),
    Filter("capabilities", capabilities.why_not, capabilities.public_reason),
    Filter("scheduler hints", hints.why_not, hints.public_reason),
    Filter("capacity", capacity.why_not, capacity.public_reason),
)
