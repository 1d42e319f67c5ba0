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
    multiple_subnets,
    service,
    storage_protocol,
)
from abaca.values import PlacementRequest, Pool


class Filter(NamedTuple):
    """`why_not(request, pool)`: for operators, with names and figures, in words that follow the
    pool's name; None when the pool fits.

    `told(request)`: what the caller sees of pools that it rejects, in words that follow "back
    ends". Says nothing of a pool.
    """

    name: str
    why_not: Callable[[PlacementRequest, Pool], str | None]
    told: Callable[[PlacementRequest], str]


FILTERS = (
    Filter("service", service.why_not, service.told),
    Filter("availability zone", availability_zone.why_not, availability_zone.told),
    Filter(
        "share server handling",
        driver_handles_share_servers.why_not,
        driver_handles_share_servers.told,
    ),
    Filter("multiple subnets", multiple_subnets.why_not, multiple_subnets.told),
    Filter("storage protocol", storage_protocol.why_not, storage_protocol.told),
    Filter("capabilities", capabilities.why_not, capabilities.told),
    Filter("capacity", capacity.why_not, capacity.told),
)
