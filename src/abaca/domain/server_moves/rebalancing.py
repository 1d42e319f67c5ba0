"""Share servers are spread over the hosts of their back ends anew: from the hosts that have most to
those that have fewest. Planned moves, a few at once."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_instances, share_servers
from abaca.domain.local_networks import forwarding
from abaca.domain.server_moves import share_server_moves
from abaca.domain.share_servers import server_hosts
from abaca.domain.shares import affinity
from abaca.values import Value


class Plan(Value):
    """`going`: server → (from, to), in their order. `waiting`: how many more would go, once these
    stand."""

    going: dict[str, tuple[str, str]]
    waiting: int


def plan(conn: Connection, most: int) -> Plan:
    """What `rebalance` would do. `most`: how many servers may move at once, those included that do
    already."""
    return _bounded(conn, _wanted(conn, hold=False), most)


def rebalance(conn: Connection, most: int) -> Plan:
    """Have servers go where fewer are, until no host has two more than another. Those go first that
    have fewest shares; one that did not move well stays."""
    wanted = _wanted(conn, hold=True)
    told = _bounded(conn, wanted, most)
    for server, target in wanted:
        if server.id in told.going:
            share_server_moves.ask_to_leave(conn, server, target)
    forwarding.changed(conn)
    return told


def _bounded(conn: Connection, wanted: list[tuple[sa.Row[Any], str]], most: int) -> Plan:
    query = sa.select(sa.func.count()).select_from(share_servers).where(share_servers.c.is_moving)
    free = max(0, most - (conn.scalar(query) or 0))
    going = {server.id: (server.worker_host, target) for server, target in wanted[:free]}
    return Plan(going=going, waiting=len(wanted) - len(going))


def _wanted(conn: Connection, *, hold: bool) -> list[tuple[sa.Row[Any], str]]:
    """Servers of shared back ends that are to move, with where to."""
    shares = (
        sa.select(sa.func.count())
        .where(share_instances.c.share_server_id == share_servers.c.id)
        .scalar_subquery()
    )
    movable = sa.select(share_servers, shares.label("shares")).where(
        share_servers.c.worker_host.is_not(None),
        ~share_servers.c.is_moving,
        share_servers.c.move_reason.is_(None),
    )
    standing: defaultdict[str, list[sa.Row[Any]]] = defaultdict(list)
    movable = movable.order_by(share_servers.c.created_at, share_servers.c.id)
    for server in conn.execute(movable.with_for_update() if hold else movable):
        standing[server.host].append(server)
    return [
        move
        for service_host in sorted(standing)
        for move in _of_back_end(conn, service_host, standing[service_host])
    ]


def _of_back_end(
    conn: Connection, service_host: str, servers: list[sa.Row[Any]]
) -> list[tuple[sa.Row[Any], str]]:
    """None goes to where a server stands that it is to be apart from, nor anywhere while that one
    goes; a later plan has it."""
    room, staying = server_hosts.Room(conn, service_host), {server.id for server in servers}
    left = sorted(servers, key=lambda server: (server.shares, server.id))
    moves = []
    while (pair := room.uneven({server.worker_host for server in left})) is not None:
        fullest, emptiest = pair
        server = next(each for each in left if each.worker_host == fullest)
        left.remove(server)
        partners = affinity.partners(conn, server)
        if emptiest in partners.values() or not staying.issuperset(partners):
            continue
        staying.remove(server.id)
        room.move(fullest, emptiest)
        moves.append((server, emptiest))
    return moves
