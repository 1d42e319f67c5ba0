"""Placement of shares and share groups: asks the scheduler with the current pools, claims the room
that a share needs in the same transaction, and tells a project why nothing fits."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import (
    availability_zones,
    hosts,
    pools,
    service_workers,
    services,
    share_servers,
)
from abaca.domain.rows import messages
from abaca.domain.rows.heartbeats import is_up
from abaca.domain.rows.states import HOST, Permit
from abaca.errors import Conflict
from abaca.scheduler.filters.capacity import room_gb
from abaca.scheduler.group_placement import SHOWN_AS, place_group
from abaca.scheduler.placement import Placement, place
from abaca.scheduler.specs import reported
from abaca.values import Host, PlacementRequest, Pool, PoolStats

_LOG = logging.getLogger(__name__)
_MOST_CLAIMS = 20
_ONE_TAKES_SHARES = sa.exists().where(
    service_workers.c.service_host == services.c.host,
    service_workers.c.is_ready,
    service_workers.c.worker_host.in_(
        sa.select(hosts.c.name).where(hosts.c.state.in_(HOST.permitted[Permit.TAKE_SHARES]))
    ),
)
HOST_STATE = sa.case(
    (services.c.is_shared & _ONE_TAKES_SHARES, sa.literal("up")), else_=hosts.c.state
)
"""Of the host of a service, joined with it; of a shared one, of whose hosts one takes shares: up.
Null: its worker has not started since hosts are rows."""
_POOLS = (
    sa.select(
        *[pools.c[name] for name in ("host", "stats", "allocated_capacity_gb")],
        availability_zones.c.name.label("zone"),
        *[
            services.c[name]
            for name in ("disabled", "is_ready", "expires_at", "created_at", "updated_at")
        ],
        HOST_STATE.label("host_state"),
        sa.select(sa.func.count())
        .where(share_servers.c.host == services.c.host)
        .scalar_subquery()
        .label("share_servers"),
    )
    .join(services, services.c.host == pools.c.service_host)
    .join(availability_zones, availability_zones.c.id == services.c.availability_zone_id)
    .outerjoin(hosts, hosts.c.name == services.c.worker_host)
)


def candidates(conn: Connection) -> list[Pool]:
    """Every pool that a worker has reported, in one statement."""
    return _pools(conn, _POOLS)


def takes_shares(host_state: str | None) -> bool:
    """Whether a worker host in that state gets new shares; None: it has no row yet."""
    return host_state is None or HOST.permits(host_state, Permit.TAKE_SHARES)


def place_and_claim(
    conn: Connection,
    request: PlacementRequest,
    host: str | None = None,
    excluded: Collection[str] = (),
) -> Placement:
    """Choose a pool and claim room on it. Chooses again, with fresh figures, if another request
    claimed room on that pool first.

    `host`: the only pool allowed (host@backend#pool), if not None. `excluded`: pools that are not
    allowed.
    """
    for _ in range(_MOST_CLAIMS):
        known = (
            candidates(conn) if host is None else _pools(conn, _POOLS.where(pools.c.host == host))
        )
        placement = place(request, [pool for pool in known if str(pool.host) not in excluded])
        if placement.host is None or _claim(
            conn, next(pool for pool in known if pool.host == placement.host), request.size
        ):
            return placement
    raise Conflict("Too many shares are being placed at the same time; repeat the request.")


def choose_for_group(
    conn: Connection,
    requests: Sequence[PlacementRequest],
    group_specs: Mapping[str, str],
    host: str | None = None,
) -> tuple[Placement, str | None]:
    """Choose a pool that fits all the requests, one a share type, and the group's specs; nothing is
    claimed. With how the pool takes consistent snapshots (`pool`, `host`); None: it does not.

    `host`: the only pool allowed (host@backend#pool), if not None.
    """
    known = candidates(conn) if host is None else _pools(conn, _POOLS.where(pools.c.host == host))
    placement = place_group(requests, group_specs, known)
    chosen = next((pool for pool in known if pool.host == placement.host), None)
    consistent = chosen and reported(chosen, SHOWN_AS)
    return placement, consistent if isinstance(consistent, str) else None


def tell(
    conn: Connection, chosen: Placement, project_id: str, resource_type: str, resource_id: str
) -> None:
    """Tell the project why no pool fits what it asked for (`resource_type`, as messages have
    it)."""
    noun = resource_type.replace("_", " ").lower()
    messages.create(
        conn,
        project_id=project_id,
        resource_type=resource_type,
        resource_id=resource_id,
        action=messages.Action.ALLOCATE_HOST,
        detail=messages.of_filter(chosen.rejections[-1].filter if chosen.rejections else None),
        text=f"No storage could be allocated for this {noun} request. {chosen.public_text()}",
    )


def claim_more(conn: Connection, host: str, size: int) -> bool:
    """Claim `size` GiB more on a share's pool. Returns False, and logs why, if there is no room."""
    for _ in range(_MOST_CLAIMS):
        found = _pools(conn, _POOLS.where(pools.c.host == host))
        if not found or room_gb(found[0]) < size:
            _LOG.warning(
                "pool %s has room for %.0f of %d GiB more",
                host,
                max(room_gb(found[0]), 0) if found else 0,
                size,
            )
            return False
        if _claim(conn, found[0], size):
            return True
    raise Conflict("Too many shares are being placed at the same time; repeat the request.")


def release(conn: Connection, host: str | None, size: int) -> None:
    """Give claimed room, in GiB, back to a pool."""
    conn.execute(
        sa.update(pools)
        .where(pools.c.host == host)
        .values(allocated_capacity_gb=pools.c.allocated_capacity_gb - size)
    )


def _claim(conn: Connection, pool: Pool, size: int) -> bool:
    """Claim room unless the pool's allocated capacity has changed since it was read."""
    claimed = conn.execute(
        sa.update(pools)
        .where(
            pools.c.host == str(pool.host),
            pools.c.allocated_capacity_gb == pool.allocated_capacity_gb,
        )
        .values(allocated_capacity_gb=pool.allocated_capacity_gb + size)
    )
    return claimed.rowcount == 1


def _pools(conn: Connection, query: sa.Select[Any]) -> list[Pool]:
    rows = conn.execute(query).all()
    return [
        Pool(
            host=Host.parse(row.host),
            availability_zone=row.zone,
            stats=msgspec.convert(row.stats, PoolStats),
            allocated_capacity_gb=row.allocated_capacity_gb,
            is_up=is_up(row._mapping),
            is_enabled=not row.disabled and takes_shares(row.host_state),
            share_servers=row.share_servers,
        )
        for row in rows
    ]
