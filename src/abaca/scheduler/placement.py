"""The choice of a pool: filters take pools out and say why, weighers order what is left, names
break ties.

Pure and deterministic: the same request and pools give the same placement, in whatever order the
pools come. Claiming the capacity and choosing the share server are not here: `domain` does both, in
the transaction in which it asks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from abaca.scheduler.filters import FILTERS
from abaca.scheduler.weighers import WEIGHERS
from abaca.values import Host, PlacementRequest, Pool, Value

MAX_EXPLANATION = 1000
_POOLS_NAMED = 5


class Rejection(Value):
    """What one filter rejected: for each pool the reason, in words that follow the pool's name.
    `public_reason`: what callers see of it."""

    filter: str
    public_reason: str
    pools: list[tuple[Host, str]]


class Placement(Value):
    """Where a share goes: `host` (with its pool) and its zone, both None when no pool fits.
    `rejections` are in the order of the filters."""

    host: Host | None = None
    availability_zone: str | None = None
    rejections: list[Rejection] = []

    def explain(self) -> str:
        """For operators, at most 1000 characters: which filter took which pools out, and why."""
        if self.host is not None:
            return f"Placed on {pool_text(self.host)}."
        if not self.rejections:
            return "No valid host was found: no back end has reported a pool yet."
        reasons = "; ".join(
            f"{rejection.filter}: {_grouped(rejection)}" for rejection in self.rejections
        )
        text = f"No valid host was found: {reasons}."
        return text if len(text) <= MAX_EXPLANATION else f"{text[: MAX_EXPLANATION - 1]}…"

    def public_text(self) -> str:
        """For the caller: what excluded the back ends, in the order of the filters. Names no pool
        and none of its figures."""
        if not self.rejections:
            return "No valid host was found: no back end is there yet."
        *some, last = [rejection.public_reason for rejection in self.rejections]
        reasons = [f"some back ends {reason}" for reason in some] + [
            f"{'the others' if some else 'all back ends'} {last}"
        ]
        return f"No valid host was found: {'; '.join(reasons)}."


def pool_text(host: Host) -> str:
    """`backend#pool`: a pool as users see it."""
    return f"{host.backend}#{host.pool}" if host.pool else host.backend


def place(request: PlacementRequest, pools: Sequence[Pool]) -> Placement:
    """The pool with the greatest weights among those that no filter rejects; ties go to the first
    by name."""
    left, rejections = remaining(request, pools)
    if not left:
        return Placement(rejections=rejections)
    best = max(left, key=lambda pool: [weight(request, pool) for weight in WEIGHERS])
    return Placement(
        host=best.host, availability_zone=best.availability_zone, rejections=rejections
    )


def remaining(
    request: PlacementRequest, pools: Sequence[Pool]
) -> tuple[list[Pool], list[Rejection]]:
    """The pools that no filter rejects, by name, and what was rejected."""
    left = sorted(pools, key=lambda pool: str(pool.host))
    rejections = []
    for each in FILTERS:
        verdicts = [(pool, each.why_not(request, pool)) for pool in left]
        rejected = [(pool.host, reason) for pool, reason in verdicts if reason is not None]
        left = [pool for pool, reason in verdicts if reason is None]
        if rejected:
            rejections.append(
                Rejection(
                    filter=each.name, public_reason=each.public_reason(request), pools=rejected
                )
            )
    return left, rejections


def _grouped(rejection: Rejection) -> str:
    """Pools with the same reason share a phrase; of many pools the first few are named, so that
    every reason keeps its place."""
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    for host, reason in rejection.pools:
        by_reason[reason].append(pool_text(host))
    phrases = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - _POOLS_NAMED} more" if len(names) > _POOLS_NAMED else ""
        phrases.append(f"{', '.join(names[:_POOLS_NAMED])}{more} {reason}")
    return ", ".join(phrases)
