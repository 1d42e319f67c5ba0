"""One file a filter. A filter says why a pool cannot take a request, in words that follow the pool's name, or None when it can.

The order below is the order in which pools fall out: cheap and telling reasons first.
"""

from __future__ import annotations

from collections.abc import Callable

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

Filter = Callable[[PlacementRequest, Pool], str | None]

FILTERS: tuple[tuple[str, Filter], ...] = (
    ("service", service.why_not),
    ("availability zone", availability_zone.why_not),
    ("share server handling", driver_handles_share_servers.why_not),
    ("multiple subnets", multiple_subnets.why_not),
    ("storage protocol", storage_protocol.why_not),
    ("capabilities", capabilities.why_not),
    ("capacity", capacity.why_not),
)
