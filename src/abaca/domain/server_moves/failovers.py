"""Hosts that die, whose share servers others take over without being told to: who is looked at by
whom, and the decision, which is one transaction.

What is seen of a host is the business of `reconcile/dead_hosts`. Of several hosts that see one dead
the first decides; after that no other host is taken for dead for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import database_now
from abaca.db.tables import hosts, service_workers, share_servers, worker_leases
from abaca.domain.server_moves import share_server_moves
from abaca.domain.server_moves.share_server_moves import Moves
from abaca.domain.services import hosts as worker_hosts
from abaca.errors import Conflict
from abaca.values import Value

MOST_PLACES = 8
"""Of a host and a back end."""


class Peer(Value):
    """Another host that serves shared back ends of this one's. `lives`: its worker does.
    `places`: host@backend → where that back end's driver sees whether the host lives. `servers`:
    how many stand on it, or go there, of any shared back end. `refusal`: why it was left alone when
    its worker did not live."""

    name: str
    lives: bool
    is_fenced: bool
    places: dict[str, list[str]]
    servers: int
    refusal: str | None


def peers(conn: Connection, worker_host: str) -> list[Peer]:
    """Those of a worker host, by name."""
    served = sa.select(service_workers.c.service_host).where(
        service_workers.c.worker_host == worker_host
    )
    query = sa.select(
        service_workers.c.worker_host, service_workers.c.service_host, service_workers.c.reached_at
    ).where(
        service_workers.c.service_host.in_(served), service_workers.c.worker_host != worker_host
    )
    places: dict[str, dict[str, list[str]]] = {}
    for name, service_host, reached_at in conn.execute(query):
        places.setdefault(name, {})[service_host] = (reached_at or "").splitlines()[:MOST_PLACES]
    number = sa.select(share_servers.c.worker_host, sa.func.count())
    standing: dict[str, int] = dict(
        conn.execute(number.group_by(share_servers.c.worker_host)).all()
    )
    return [
        Peer(
            name=view["name"],
            lives=bool(view["lives"]),
            is_fenced=view["stored_state"] == "fenced",
            places=places[view["name"]],
            servers=standing.get(view["name"], 0),
            refusal=view["failover_refusal"],
        )
        for view in worker_hosts.find(conn)
        if view["name"] in places
    ]


def fail_over(conn: Connection, host: str, by: str, pause_seconds: float) -> Moves | None:
    """Have the share servers of a host that another one, `by`, finds dead taken over. None:
    somebody has just done so.

    Raises Conflict, saying why, when it is not to be: its worker lives again, that of `by` does
    not, another host was taken for dead a moment ago, or nobody has room.
    """
    # one host decides at a time, and a worker that starts on a dead one waits for that
    rows = conn.execute(sa.select(hosts).order_by(hosts.c.name).with_for_update()).all()
    leases = sa.select(worker_leases).where(worker_leases.c.host.in_([host, by]))
    conn.execute(leases.order_by(worker_leases.c.host).with_for_update()).all()
    if not worker_hosts.get(conn, by)["lives"]:
        raise Conflict(f"The worker of host {by} does not live itself.")
    if worker_hosts.get(conn, host)["stored_state"] == "fenced":
        return None
    now = database_now(conn)
    _refuse_storm(rows, now, pause_seconds)
    moves = share_server_moves.evacuate(
        conn, host, f"taken for dead by host {by}: its lease has ended, and it answers nowhere"
    )
    if not moves.going:
        raise Conflict(f"Nobody takes its share servers over: {share_server_moves.NO_ROOM}.")
    conn.execute(sa.update(hosts).where(hosts.c.name == host).values(failed_over_at=now))
    return moves


def _refuse_storm(rows: Sequence[sa.Row[Any]], now: datetime, pause_seconds: float) -> None:
    for row in rows:
        if row.failed_over_at is None:
            continue
        until = row.failed_over_at + timedelta(seconds=pause_seconds)
        # one from the future was written before the clock was set back
        if row.failed_over_at <= now < until:
            raise Conflict(
                f"Host {row.name} was taken for dead at {row.failed_over_at:%H:%M:%S} UTC; until "
                f"{until:%H:%M:%S} UTC ([failover] pause_seconds) no other one is by itself."
            )


def tell(conn: Connection, host: str, refusal: str | None) -> None:
    """People who look why a host whose worker does not live is not taken for dead; None: it
    lives."""
    told = refusal and refusal[:1023]
    conn.execute(sa.update(hosts).where(hosts.c.name == host).values(failover_refusal=told))
