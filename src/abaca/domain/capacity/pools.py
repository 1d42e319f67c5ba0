"""Pools as administrators see them: what back ends report, and what has been allocated on them. For
the scheduler: `placement`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import pools
from abaca.domain.capacity import placement
from abaca.errors import Invalid
from abaca.scheduler.specs import reported, satisfies, wanted_capabilities
from abaca.values import Pool

_LONGEST_PATTERN = 255
# an extra spec about zones, not about what a pool reports
_JUDGED_ELSEWHERE = frozenset({"availability_zones"})


def find(
    conn: Connection, patterns: dict[str, str], extra_specs: dict[str, str]
) -> list[dict[str, Any]]:
    """Pools as administrators see them: name, host, backend, pool, capabilities.

    `patterns`: regular expressions for host, backend and pool, matched from the beginning.
    `extra_specs`: only pools that satisfy them. Raises Invalid for an invalid pattern.
    """
    compiled = {name: _compile(pattern) for name, pattern in patterns.items()}
    wanted = {
        name: spec
        for name, spec in wanted_capabilities(extra_specs).items()
        if name not in _JUDGED_ELSEWHERE
    }
    reported_at = {
        row.host: row.updated_at
        for row in conn.execute(sa.select(pools.c.host, pools.c.updated_at))
    }
    views = [
        _view(pool, reported_at.get(str(pool.host)))
        for pool in placement.candidates(conn)
        if all(satisfies(reported(pool, name), spec) for name, spec in wanted.items())
    ]
    return [
        view
        for view in views
        if all(pattern.match(view[name]) for name, pattern in compiled.items())
    ]


def _view(pool: Pool, reported_at: datetime | None) -> dict[str, Any]:
    stats = pool.stats
    capabilities = {
        **stats.capabilities,
        "pool_name": stats.pool_name,
        "share_backend_name": stats.capabilities.get("share_backend_name", pool.host.backend),
        "total_capacity_gb": stats.total_capacity_gb,
        "free_capacity_gb": stats.free_capacity_gb,
        "allocated_capacity_gb": pool.allocated_capacity_gb,
        "provisioned_capacity_gb": pool.allocated_capacity_gb + stats.snapshot_capacity_gb,
        "snapshot_capacity_gb": stats.snapshot_capacity_gb,
        "reserved_percentage": stats.reserved_percentage,
        "max_over_subscription_ratio": stats.max_over_subscription_ratio,
        "thin_provisioning": stats.thin_provisioning,
        "timestamp": reported_at and reported_at.isoformat(timespec="microseconds"),
    }
    return {
        "name": str(pool.host),
        "host": pool.host.host,
        "backend": pool.host.backend,
        "pool": pool.host.pool or stats.pool_name,
        "capabilities": capabilities,
    }


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        if len(pattern) > _LONGEST_PATTERN:
            raise Invalid(f"A filter has at most {_LONGEST_PATTERN} characters.")
        return re.compile(pattern)
    except re.error as error:
        raise Invalid(f"'{pattern}' is not a regular expression: {error}.") from None
