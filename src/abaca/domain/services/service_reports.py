"""What workers report: their back ends as services, their heartbeats and their pools."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import upsert, utcnow
from abaca.db.tables import availability_zones, pools, service_workers, services
from abaca.domain.rows.heartbeats import is_up
from abaca.domain.services import hosts
from abaca.domain.services.services import BINARY
from abaca.values import PoolStats, Value


class Report(Value):
    """A heartbeat of a back end. `reason`: why it is not ready although its worker runs. `lasts`:
    seconds until it counts as down.

    `unserved_share_servers`: how many of its servers do not serve but should.
    `share_server_restarts`: how many recoveries there were since the worker started. `is_shared`:
    other workers may serve it, too; `reached_at`: where those see whether this host lives.
    `lease_token`: of the lease of the worker's host, if it has one.
    """

    host: str
    worker_host: str
    availability_zone: str
    is_ready: bool
    lasts: int
    reason: str | None = None
    network_allocations_number: int = 1
    network_allocation_update_support: bool = False
    share_server_subnet_removal_support: bool = False
    security_service_update_support: bool = False
    unserved_share_servers: int = 0
    share_server_restarts: int = 0
    is_shared: bool = False
    reached_at: Sequence[str] = ()
    lease_token: int | None = None


def report(conn: Connection, sign: Report, stats: Sequence[PoolStats]) -> None:
    """Store a heartbeat with the current pools; what is allocated on a pool is not touched. Raises
    Conflict when the lease of the worker's host is lost."""
    hosts.require_lease(conn, sign.worker_host, sign.lease_token)
    now = utcnow()
    if sign.is_shared and not _leads(conn, sign, now):
        return
    columns = {
        "worker_host": sign.worker_host,
        "is_shared": sign.is_shared,
        "availability_zone_id": _zone_id(conn, sign.availability_zone),
        "is_ready": sign.is_ready,
        "state_reason": sign.reason and sign.reason[:1023],
        "network_allocations_number": sign.network_allocations_number,
        "network_allocation_update_support": sign.network_allocation_update_support,
        "share_server_subnet_removal_support": sign.share_server_subnet_removal_support,
        "security_service_update_support": sign.security_service_update_support,
        "unserved_share_servers": _sum_of(sign, "unserved_share_servers"),
        "share_server_restarts": _sum_of(sign, "share_server_restarts"),
        "expires_at": now + timedelta(seconds=sign.lasts),
        "updated_at": now,
    }
    if not conn.execute(
        sa.update(services).where(services.c.host == sign.host).values(**columns)
    ).rowcount:
        conn.execute(
            sa.insert(services).values(
                host=sign.host, binary=BINARY, disabled=False, created_at=now, **columns
            )
        )
    for pool in stats:
        host = f"{sign.host}#{pool.pool_name}"
        values = {"stats": msgspec.to_builtins(pool), "updated_at": now}
        if not conn.execute(sa.update(pools).where(pools.c.host == host).values(**values)).rowcount:
            conn.execute(
                sa.insert(pools).values(
                    host=host, service_host=sign.host, allocated_capacity_gb=0, **values
                )
            )


def _leads(conn: Connection, sign: Report, now: datetime) -> bool:
    """Store the heartbeat among those of the other workers of a shared back end. Whether this one
    speaks for all of it: as long as it is ready and its host is not fenced, nobody else does."""
    mine = {
        "is_ready": sign.is_ready,
        "state_reason": sign.reason and sign.reason[:1023],
        "unserved_share_servers": sign.unserved_share_servers,
        "share_server_restarts": sign.share_server_restarts,
        "reached_at": "\n".join(sign.reached_at)[:1023],
        "expires_at": now + timedelta(seconds=sign.lasts),
        "updated_at": now,
    }
    names = {"service_host": sign.host, "worker_host": sign.worker_host}
    conn.execute(
        upsert(conn, service_workers)
        .values(created_at=now, **names, **mine)
        .on_conflict_do_update(index_elements=list(names), set_=mine)
    )
    query = sa.select(services).where(services.c.host == sign.host).with_for_update()
    service = conn.execute(query).one_or_none()
    if service is None or service.worker_host == sign.worker_host:
        return True
    fenced = hosts.fenced(conn)
    is_vacant = service.worker_host in fenced or not is_up(service._mapping)
    return sign.is_ready and is_vacant and sign.worker_host not in fenced


def _sum_of(sign: Report, name: str) -> Any:
    """Of all workers of a shared back end, of which this one's is stored."""
    if not sign.is_shared:
        return getattr(sign, name)
    column = service_workers.c[name]
    return (
        sa.select(sa.func.coalesce(sa.func.sum(column), 0))
        .where(service_workers.c.service_host == sign.host)
        .scalar_subquery()
    )


def _zone_id(conn: Connection, name: str) -> str:
    query = sa.select(availability_zones.c.id).where(availability_zones.c.name == name)
    if (zone_id := conn.scalar(query)) is not None:
        return str(zone_id)
    # workers of several hosts that start at once find none
    new = upsert(conn, availability_zones).values(id=str(uuid4()), name=name, created_at=utcnow())
    conn.execute(new.on_conflict_do_nothing(index_elements=["name"]))
    return str(conn.scalar(query))
