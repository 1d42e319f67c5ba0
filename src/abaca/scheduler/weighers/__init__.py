"""One file per weigher. A weigher gives a pool a number, the greater the better; a later weigher
decides only between equals of the earlier ones."""

from __future__ import annotations

from collections.abc import Callable

from abaca.scheduler.weighers import free_capacity, share_servers
from abaca.values import PlacementRequest, Pool

Weigher = Callable[[PlacementRequest, Pool], float]

WEIGHERS: tuple[Weigher, ...] = (free_capacity.weight, share_servers.weight)
