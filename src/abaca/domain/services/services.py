"""Services: the back ends of workers, as administrators see them. Heartbeats come from the
worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import availability_zones, hosts, service_workers, services
from abaca.domain.capacity import placement
from abaca.domain.rows.heartbeats import is_up
from abaca.domain.services.hosts import DOWN
from abaca.errors import Conflict, Missing
from abaca.values import SYSTEM
from abaca.workflow.queue import Work, enqueue

BINARY = "manila-share"


def find(conn: Connection, filters: dict[str, str]) -> list[dict[str, Any]]:
    """Services by id: id, binary, host, zone, status (enabled, disabled), state (up, down),
    updated_at, and what /metrics tells. Those of a host that takes no shares are disabled, and the
    reason says so; of those that several hosts serve it says which of these are draining, fenced or
    down, as long as one takes shares without being disabled.

    `filters`: values by these names.
    """
    query = (
        sa.select(
            services,
            availability_zones.c.name.label("zone"),
            placement.HOST_STATE.label("host_state"),
            hosts.c.state_reason.label("host_reason"),
        )
        .join(availability_zones, availability_zones.c.id == services.c.availability_zone_id)
        .outerjoin(hosts, hosts.c.name == services.c.worker_host)
        .order_by(services.c.id)
    )
    rows = [dict(row) for row in conn.execute(query).mappings()]
    shut = _shut_hosts(conn) if any(row["is_shared"] for row in rows) else {}
    views = [_view(row, shut.get(row["host"], ())) for row in rows]
    return [
        view for view in views if all(str(view[name]) == wanted for name, wanted in filters.items())
    ]


def set_disabled(
    conn: Connection, *, host: str, binary: str, disabled: bool, reason: str | None = None
) -> None:
    """Exclude a back end from new shares, or include it again. Existing shares are served either
    way. Raises Missing."""
    changed = conn.execute(
        sa.update(services)
        .where(services.c.host == host, services.c.binary == binary)
        .values(disabled=disabled, disabled_reason=reason)
    ).rowcount
    if not changed:
        raise Missing(f"Service {binary} could not be found on host {host}.")


def ensure_shares(conn: Connection, host: str) -> None:
    """Ensure all shares of a back end in the background. Raises Missing; Conflict while that runs,
    and if the back end is down."""
    service = (
        conn.execute(sa.select(services).where(services.c.host == host).with_for_update())
        .mappings()
        .one_or_none()
    )
    if service is None:
        raise Missing(f"Service {host} could not be found.")
    if service["ensuring"]:
        raise Conflict(f"The shares of {host} are already being ensured.")
    if not is_up(service):
        raise Conflict(f"The service {host} is down.")
    conn.execute(sa.update(services).where(services.c.host == host).values(ensuring=True))
    works = [
        Work(
            name="service_ensure_shares",
            worker_host=worker_host,
            project_id=SYSTEM,
            id=f"service_ensure_shares:{host}:{uuid4()}",
            key=f"service:{host}",
            args=(host,),
        )
        for worker_host in _workers(conn, service)
    ]
    enqueue(conn, *works)


def _workers(conn: Connection, service: Mapping[Any, Any]) -> list[str]:
    """The workers that live of those that serve a back end."""
    if not service["is_shared"]:
        return [service["worker_host"]]
    query = sa.select(service_workers).where(service_workers.c.service_host == service["host"])
    return sorted(row.worker_host for row in conn.execute(query) if is_up(row._mapping))


def ensured(conn: Connection, host: str, _reason: str = "") -> None:
    """`ensure_shares` has ended, successfully or not."""
    conn.execute(sa.update(services).where(services.c.host == host).values(ensuring=False))


def led(conn: Connection, worker_host: str) -> set[str]:
    """The back ends (host@backend) that this worker speaks for."""
    query = sa.select(services.c.host).where(services.c.worker_host == worker_host)
    return set(conn.scalars(query))


def any_worker(conn: Connection, besides: str = "") -> str | None:
    """A worker host, besides that one, for work that is about no back end: one whose heartbeats
    come and that is not fenced, if there is one."""
    signs = ("worker_host", "is_ready", "expires_at", "created_at", "updated_at")
    own = sa.select(*(services.c[name] for name in signs)).where(~services.c.is_shared)
    of_several = sa.select(*(service_workers.c[name] for name in signs))
    told = own.union_all(of_several).subquery()
    is_fenced = sa.func.coalesce(hosts.c.state == "fenced", False)
    query = (
        sa.select(told)
        .outerjoin(hosts, hosts.c.name == told.c.worker_host)
        .where(told.c.is_ready, told.c.worker_host != besides)
        .order_by(is_fenced, told.c.updated_at.desc())
    )
    rows = conn.execute(query).all()
    live = (row.worker_host for row in rows if is_up(row._mapping))
    return next(live, next((row.worker_host for row in rows), None))


def end_heartbeats(conn: Connection, worker_host: str) -> None:
    """The host is gone: nothing more is asked of its worker."""
    for table in (service_workers, services):
        gone = sa.update(table).where(table.c.worker_host == worker_host)
        conn.execute(gone.values(is_ready=False))


def hand_over(conn: Connection, service_host: str, from_host: str, to_host: str) -> None:
    """What is about all of a shared back end is done by another of its workers from now on, if that
    host's has done it so far."""
    led = (services.c.host == service_host) & (services.c.worker_host == from_host)
    conn.execute(sa.update(services).where(led).values(worker_host=to_host))


def _shut_hosts(conn: Connection) -> dict[str, list[str]]:
    """Shared back ends (host@backend) → of their hosts those that are draining, fenced or down, as
    it is shown."""
    query = (
        sa.select(service_workers, hosts.c.state, hosts.c.state_reason.label("why"))
        .outerjoin(hosts, hosts.c.name == service_workers.c.worker_host)
        .order_by(service_workers.c.worker_host)
    )
    shut: dict[str, list[str]] = {}
    for row in conn.execute(query).mappings():
        if not placement.takes_shares(row["state"]):
            said = _shut(row["worker_host"], row["state"], row["why"])
        elif not is_up(row):
            said = _shut(row["worker_host"], DOWN, None)
        else:
            continue
        shut.setdefault(row["service_host"], []).append(said)
    return shut


def _shut(host: str, state: str, why: str | None) -> str:
    return f"host {host} is {state}" + (f": {why}" if why else "")


def _view(row: Mapping[str, Any], shut: Sequence[str]) -> dict[str, Any]:
    reason = row["disabled_reason"]
    takes_shares = placement.takes_shares(row["host_state"])
    if shut:
        reason = "; ".join([reason] if reason and row["disabled"] else shut)
    elif not takes_shares:
        reason = _shut(row["worker_host"], row["host_state"], row["host_reason"])
    return {
        "id": row["id"],
        "binary": row["binary"],
        "host": row["host"],
        "zone": row["zone"],
        "status": "enabled" if takes_shares and not row["disabled"] else "disabled",
        "state": "up" if is_up(row) else "down",
        "updated_at": row["updated_at"],
        "disabled_reason": reason and reason[:255],
        "ensuring": row["ensuring"],
        "unserved_share_servers": row["unserved_share_servers"],
        "share_server_restarts": row["share_server_restarts"],
        "usage_measured_at": row["usage_measured_at"],
    }
