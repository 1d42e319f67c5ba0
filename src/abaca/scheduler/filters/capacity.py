"""The pool must have room: both by what it reports as free, and by what Abaca has promised on it
(which may not be written yet).

Reserved capacity is never given away, nor what snapshots keep beside the sizes of shares. A thick
pool promises what it has; a thin one promises up to its over-subscription ratio of it.
"""

from __future__ import annotations

from abaca.values import PlacementRequest, Pool


def room_gb(pool: Pool) -> float:
    """GiB that may still be promised on the pool; negative when it is promised beyond its limit
    already."""
    stats = pool.stats
    reserved = stats.total_capacity_gb * stats.reserved_percentage / 100
    ratio = max(stats.max_over_subscription_ratio, 1.0) if stats.thin_provisioning else 1.0
    unpromised = (
        (stats.total_capacity_gb - reserved) * ratio
        - stats.snapshot_capacity_gb
        - pool.allocated_capacity_gb
    )
    unwritten = (stats.free_capacity_gb - reserved) * ratio
    return min(unpromised, unwritten)


def why_not(request: PlacementRequest, pool: Pool) -> str | None:
    room = room_gb(pool)
    return (
        None if request.size <= room else f"has room for {max(room, 0):.0f} of {request.size} GiB"
    )


def public_reason(request: PlacementRequest) -> str:
    return f"have no room for {request.size} GiB"
