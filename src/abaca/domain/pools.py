"""Pools: what back ends report and what has been promised on them; for administrators and for the scheduler."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import availability_zones, pools, services
from abaca.domain.services import is_up
from abaca.errors import Invalid
from abaca.scheduler.specs import reported, satisfies, wanted_capabilities
from abaca.values import Host, Pool, PoolStats

_LONGEST_PATTERN = 255
_JUDGED_ELSEWHERE = frozenset({"availability_zones"})  # an extra spec about zones, not about what a pool reports


def load(conn: Connection, down_time: int) -> list[Pool]:
    """Every pool as the scheduler sees it, by host. One statement."""
    return [pool for pool, _ in _load(conn, down_time)]


def find(conn: Connection, patterns: dict[str, str], extra_specs: dict[str, str], down_time: int) -> list[dict[str, Any]]:
    """Pools as administrators see them: name, host, backend, pool, capabilities.

    `patterns`: regular expressions for host, backend and pool, matched from the beginning. `extra_specs`: only pools that satisfy them.
    Raises Invalid for a pattern that is none.
    """
    compiled = {name: _compile(pattern) for name, pattern in patterns.items()}
    wanted = {name: spec for name, spec in wanted_capabilities(extra_specs).items() if name not in _JUDGED_ELSEWHERE}
    views = [
        _view(pool, updated_at)
        for pool, updated_at in _load(conn, down_time)
        if all(satisfies(reported(pool, name), spec) for name, spec in wanted.items())
    ]
    return [view for view in views if all(pattern.match(view[name]) for name, pattern in compiled.items())]


def _load(conn: Connection, down_time: int) -> list[tuple[Pool, datetime]]:
    query = (
        sa.select(
            pools,
            services.c.is_ready,
            services.c.disabled,
            services.c.created_at.label("service_created_at"),
            services.c.updated_at.label("service_updated_at"),
            availability_zones.c.name.label("zone"),
        )
        .join(services, services.c.host == pools.c.service_host)
        .join(availability_zones, availability_zones.c.id == services.c.availability_zone_id)
        .order_by(pools.c.host)
    )
    return [(_pool(row, down_time), row["updated_at"]) for row in conn.execute(query).mappings()]


def _pool(row: sa.RowMapping, down_time: int) -> Pool:
    return Pool(
        host=Host.parse(row["host"]),
        availability_zone=row["zone"],
        stats=msgspec.convert(row["stats"], PoolStats),
        allocated_capacity_gb=row["allocated_capacity_gb"],
        is_up=is_up(row["is_ready"], row["service_updated_at"] or row["service_created_at"], down_time),
        is_enabled=not row["disabled"],
    )


def _view(pool: Pool, updated_at: datetime) -> dict[str, Any]:
    stats = pool.stats
    capabilities = {
        **stats.capabilities,
        "pool_name": stats.pool_name,
        "share_backend_name": stats.capabilities.get("share_backend_name", pool.host.backend),
        "total_capacity_gb": stats.total_capacity_gb,
        "free_capacity_gb": stats.free_capacity_gb,
        "allocated_capacity_gb": pool.allocated_capacity_gb,
        "reserved_percentage": stats.reserved_percentage,
        "max_over_subscription_ratio": stats.max_over_subscription_ratio,
        "thin_provisioning": stats.thin_provisioning,
        "timestamp": updated_at.isoformat(timespec="microseconds"),
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
