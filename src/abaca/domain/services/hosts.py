"""Worker hosts: where each reaches the others, and whether it gets new shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import database_now, is_sqlite, utcnow
from abaca.db.tables import (
    hosts,
    local_machines,
    service_workers,
    services,
    share_servers,
    worker_leases,
)
from abaca.domain.rows import states
from abaca.domain.rows.states import HOST
from abaca.errors import Conflict, Missing
from abaca.workflow import wakening

DOWN = "down"
SHOWN_STATES = (*HOST.transitions, DOWN)


def register(
    conn: Connection,
    name: str,
    *,
    tunnel_address: str | None = None,
    tunnel_port: int | None = None,
    underlay_mtu: int | None = None,
) -> None:
    """A worker starts on the host. Conflict when its tunnel address is another host's, or of
    another IP version or port than theirs."""
    if tunnel_address is not None:
        _refuse_mixed(conn, name, tunnel_address, tunnel_port)
    values = {
        "tunnel_address": tunnel_address,
        "tunnel_port": tunnel_port,
        "underlay_mtu": underlay_mtu,
        "failover_refusal": None,
        "updated_at": utcnow(),
    }
    there = hosts.c.name == name
    if not conn.execute(sa.update(hosts).where(there).values(values)).rowcount:
        conn.execute(
            sa.insert(hosts).values(
                id=str(uuid4()), name=name, state="up", created_at=utcnow(), **values
            )
        )
    wakening.announce_forwarding(conn)


def find(conn: Connection) -> list[dict[str, Any]]:
    """Hosts by name: what is stored, `state` (up, draining, fenced, or down: its worker does not
    live), `stored_state`, whether its worker `lives`, `back_ends` and `share_servers` (how
    many)."""
    own = (services.c.worker_host == hosts.c.name) & ~services.c.is_shared
    of_several = service_workers.c.worker_host == hosts.c.name
    back_ends = (
        sa.select(sa.func.count()).where(own).scalar_subquery()
        + sa.select(sa.func.count()).where(of_several).scalar_subquery()
    )
    stands_on = sa.func.coalesce(share_servers.c.worker_host, services.c.worker_host)
    servers = (
        sa.select(sa.func.count())
        .select_from(share_servers.join(services, services.c.host == share_servers.c.host))
        .where(stands_on == hosts.c.name)
        .scalar_subquery()
    )
    query = sa.select(
        hosts,
        back_ends.label("back_ends"),
        servers.label("share_servers"),
        (worker_leases.c.expires_at > _clock(conn)).label("lives"),
    ).outerjoin(worker_leases, worker_leases.c.host == hosts.c.name)
    rows = conn.execute(query.order_by(hosts.c.name)).mappings()
    return [{**row, "state": _shown_state(row), "stored_state": row["state"]} for row in rows]


def get(conn: Connection, name: str) -> dict[str, Any]:
    """One host. Raises Missing."""
    found = next((view for view in find(conn) if view["name"] == name), None)
    if found is None:
        raise Missing(f"Host {name} could not be found.")
    return found


def set_state(conn: Connection, name: str, state: str, reason: str | None = None) -> None:
    """`up`; `draining`: it gets no new shares; `fenced`: nor do other hosts send to it, or take
    anything from it. Raises Missing."""
    id_ = conn.scalar(sa.select(hosts.c.id).where(hosts.c.name == name).with_for_update())
    if id_ is None:
        raise Missing(f"Host {name} could not be found.")
    states.move(conn, HOST, id_, state, state_reason=reason, failover_refusal=None)
    wakening.announce_forwarding(conn)


def fenced(conn: Connection) -> set[str]:
    """The names of those that are."""
    return set(conn.scalars(sa.select(hosts.c.name).where(hosts.c.state == "fenced")))


def require_lease(conn: Connection, name: str, token: int | None) -> None:
    """Who has the host's lease, by its token, keeps it until this transaction ends, and may renew
    it meanwhile. Raises Conflict when it has ended, is another's or was deleted with its host; for
    who has no token, when the host has a lease."""
    query = sa.select(worker_leases).where(worker_leases.c.host == name)
    lease = conn.execute(query.with_for_update(read=True, key_share=True)).one_or_none()
    if lease is None and token is None:
        return
    if lease is None or lease.token != token or lease.expires_at <= database_now(conn):
        raise Conflict(f"The lease of worker host {name} is lost.")


def hold(conn: Connection, name: str) -> None:
    """Nobody decides about the host, and no worker takes, renews or ends its lease, until this
    transaction ends."""
    conn.execute(sa.select(hosts.c.id).where(hosts.c.name == name).with_for_update()).all()
    held = sa.select(worker_leases.c.host).where(worker_leases.c.host == name)
    conn.execute(held.with_for_update()).all()


def end_lease(conn: Connection, name: str) -> None:
    """A worker of the host that was only held up for long does nothing more, and starts anew."""
    held = worker_leases.c
    conn.execute(sa.update(worker_leases).where(held.host == name).values(token=held.token + 1))


def delete(conn: Connection, name: str) -> None:
    """Forget a host that is gone for good: it counts for no MTU, and machines that it had go. Its
    own back ends stay, down. Raises Missing; Conflict while its worker lives or share servers are
    on it."""
    hold(conn, name)
    view = get(conn, name)
    if view["lives"]:
        raise Conflict(
            f"The worker of host {name} lives: stop it, and wait until the host is down."
        )
    if view["share_servers"]:
        raise Conflict(
            f"{view['share_servers']} share servers are on host {name}: evacuate it, or delete "
            "their shares."
        )
    conn.execute(sa.delete(local_machines).where(local_machines.c.host == name))
    conn.execute(sa.delete(service_workers).where(service_workers.c.worker_host == name))
    conn.execute(sa.delete(worker_leases).where(worker_leases.c.host == name))
    conn.execute(sa.delete(hosts).where(hosts.c.name == name))
    wakening.announce_forwarding(conn)


def set_unreached(conn: Connection, name: str, unreached: str | None) -> None:
    """What the host could not connect with the others, and why."""
    conn.execute(
        sa.update(hosts)
        .where(hosts.c.name == name)
        .values(unreached=unreached and unreached[:1023])
    )


def _refuse_mixed(conn: Connection, name: str, address: str, port: int | None) -> None:
    others = sa.select(hosts).where(hosts.c.name != name, hosts.c.tunnel_address.is_not(None))
    for other in conn.execute(others.order_by(hosts.c.name)):
        theirs = f"host {other.name} has {other.tunnel_address}, port {other.tunnel_port}"
        if other.tunnel_address == address:
            raise Conflict(f"tunnel_address {address} is taken: {theirs}.")
        if (":" in other.tunnel_address) != (":" in address):
            raise Conflict(f"tunnel_address {address} is of another IP version: {theirs}.")
        if other.tunnel_port != port:
            raise Conflict(f"tunnel_port {port} is another one: {theirs}.")


def _shown_state(row: Mapping[Any, Any]) -> str:
    return str(row["state"] if row["lives"] or row["state"] == "fenced" else DOWN)


def _clock(conn: Connection) -> sa.ColumnElement[Any]:
    """The clock by which leases go, within a statement."""
    if is_sqlite(conn):
        return sa.literal(utcnow())
    return sa.literal_column("clock_timestamp() AT TIME ZONE 'UTC'")
