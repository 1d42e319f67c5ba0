"""The choice of a pool for a share group: one that fits shares of each of its types, and the group
type's specs.

Pure, as `placement` is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from abaca.scheduler.placement import Placement, Rejection, place, remaining
from abaca.scheduler.specs import reported, satisfies
from abaca.values import Host, PlacementRequest, Pool

CONSISTENT_SNAPSHOTS = "consistent_snapshot_support"
"""The only spec of a group type that pools are judged by, as in Manila; the others are labels."""
SHOWN_AS = "sg_consistent_snapshot_support"
"""What pools report it as, `pool` or `host`."""


def place_group(
    requests: Sequence[PlacementRequest], group_specs: Mapping[str, str], pools: Sequence[Pool]
) -> Placement:
    """The best pool for the first request among those that fit all of them; one request a share
    type of the group, at least one."""
    rejections: list[Rejection] = []
    left = list(pools)
    for request in requests:
        left, rejected = remaining(request, left)
        rejections += rejected
    wanted = group_specs.get(CONSISTENT_SNAPSHOTS)
    if wanted is not None:
        left, unfit = _consistent(wanted, left)
        rejections += unfit
    if not left:
        return Placement(rejections=rejections)
    chosen = place(requests[0], left)
    return Placement(
        host=chosen.host, availability_zone=chosen.availability_zone, rejections=rejections
    )


def _consistent(wanted: str, pools: Sequence[Pool]) -> tuple[list[Pool], list[Rejection]]:
    lacking = [pool for pool in pools if not satisfies(reported(pool, SHOWN_AS), wanted)]
    if not lacking:
        return list(pools), []
    pairs: list[tuple[Host, str]] = [
        (pool.host, f"lacks {CONSISTENT_SNAPSHOTS}={wanted}") for pool in lacking
    ]
    rejection = Rejection(
        filter="consistent snapshots",
        public_reason=f"lack {CONSISTENT_SNAPSHOTS}={wanted}, which the share group type asks for",
        pools=pairs,
    )
    return [pool for pool in pools if pool not in lacking], [rejection]
