"""/scheduler-stats/pools: what back ends report."""

from __future__ import annotations

from typing import Any

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, admin, many
from abaca.api.wire.fields import DETAIL, SUMMARY
from abaca.api.wire.services import POOL
from abaca.db.session import read
from abaca.domain.capacity import pools
from abaca.domain.share_types import share_types

_PATTERNS = ("host", "backend", "pool")


def pools_index(call: Call) -> dict[str, Any]:
    """GET /scheduler-stats/pools"""
    return _list(call, SUMMARY)


def pools_detail(call: Call) -> dict[str, Any]:
    """GET /scheduler-stats/pools/detail"""
    return _list(call, DETAIL)


def _list(call: Call, level: int) -> dict[str, Any]:
    patterns = call.filters(*_PATTERNS)
    share_type = call.query.get("share_type") if call.version >= 23 else None
    with read(call.engine) as conn:
        specs = (
            share_types.lookup(conn, call.caller, share_type)["extra_specs"] if share_type else {}
        )
        return call.many("pools", POOL, pools.find(conn, patterns, specs), level=level)


_ALL = "/v2/scheduler-stats/pools"
_QUERY = ("host", "backend", "pool", "share_type")

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            pools_index,
            admin("scheduler_stats:pools:index"),
            gives=many("pools", POOL, SUMMARY),
            query=_QUERY,
        ),
        Route(
            "GET",
            f"{_ALL}/detail",
            pools_detail,
            admin("scheduler_stats:pools:detail"),
            gives=many("pools", POOL),
            query=_QUERY,
        ),
    ],
)
