"""Share servers that go from one host of a shared back end to another: who goes where, and what
becomes of the work on them meanwhile.

A move has a number, the server's `generation`: work of an earlier one finds another and does
nothing. From the request until the server stands again, `is_moving`: no worker looks after it, and
whatever is asked of it waits in a queue of its own. A host that is there takes its servers down
itself (`share_server_depart`); from one that is gone they are taken, so that the first thing on the
new host (`share_server_arrive`) is to shut out whatever may still run on the old one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import service_workers, share_servers
from abaca.db.tables import services as services_table
from abaca.domain.local_networks import forwarding
from abaca.domain.services import hosts, services
from abaca.domain.share_servers import server_hosts
from abaca.domain.share_servers import share_servers as servers
from abaca.domain.shares import affinity
from abaca.errors import Conflict
from abaca.values import Value
from abaca.workflow.queue import enqueue, hand_over, hand_over_lookups, requeue

DEPART, ARRIVE = "share_server_depart", "share_server_arrive"
_STANDS_NOT = "It does not stand on its new host yet: "
_STILL_TOLD = ~share_servers.c.is_moving & share_servers.c.move_reason.startswith(
    _STANDS_NOT, autoescape=True
)
ON_THIS_HOST_ONLY = "its data are on this host only"
NO_ROOM = "no other host that lives and takes shares serves its back end"


class Moves(Value):
    """What becomes of the share servers of a host: those that go, with where to; those that stay,
    with why."""

    going: dict[str, str]
    staying: dict[str, str]


def evacuate(conn: Connection, host: str, reason: str | None = None) -> Moves:
    """Fence a host that is gone, and have its share servers taken over by others. Conflict while
    its worker lives. May be repeated: for those that stayed."""
    hosts.hold(conn, host)
    view = hosts.get(conn, host)
    if view["lives"]:
        raise Conflict(
            f"The worker of host {host} lives: drain the host, or end its worker first and wait "
            "until the host is down."
        )
    if view["state"] != "fenced":
        hosts.set_state(conn, host, "fenced", reason)
    hosts.end_lease(conn, host)
    _hand_over_rest(conn, host)
    services.end_heartbeats(conn, host)
    return _send_away(conn, host, _take_over)


def shut_out_former_machine(conn: Connection, host: str) -> None:
    """Another machine is the host from now on: what the one before may still serve, unseen, is shut
    out before this one starts it."""
    for server in conn.execute(_standing_on(host).with_for_update()).all():
        _take_over(conn, server, host)


def drain(conn: Connection, host: str, reason: str | None = None) -> Moves:
    """Put no new shares on a host, and have it hand its share servers over, one after another."""
    view = hosts.get(conn, host)
    if view["stored_state"] == "up":  # one that is fenced stays so until it is enabled
        hosts.set_state(conn, host, "draining", reason)
    if not view["lives"]:
        standing = conn.scalars(sa.select(share_servers.c.id).where(_stands_on(host)))
        gone = f"the worker of {host} does not live: start it, or evacuate the host"
        return Moves(going={}, staying=_local(conn, host) | dict.fromkeys(standing, gone))
    return _send_away(conn, host, ask_to_leave)


def _hand_over_rest(conn: Connection, host: str) -> None:
    """What is about no share server alone: who asked waits for no host that is gone, and what they
    asked does not count for ever among the work of their project. It is done by hosts that drain,
    too."""
    served = sa.select(service_workers.c.service_host).where(service_workers.c.worker_host == host)
    for service_host in conn.scalars(served.order_by(service_workers.c.service_host)).all():
        target = server_hosts.Room(conn, service_host).helper(besides=host)
        if target is not None:
            hand_over(conn, service_host, host, target)
            services.hand_over(conn, service_host, host, target)
    if (anybody := services.any_worker(conn, besides=host)) is not None:
        hand_over_lookups(conn, host, anybody)


def _send_away(
    conn: Connection, host: str, send: Callable[[Connection, sa.Row[Any], str], None]
) -> Moves:
    rooms: dict[str, server_hosts.Room] = {}
    going: dict[str, str] = {}
    staying = _local(conn, host)
    for server in conn.execute(_standing_on(host).with_for_update()).all():
        if server.host not in rooms:
            rooms[server.host] = server_hosts.Room(conn, server.host)
        partners = affinity.partners(conn, server)
        apart_from = {going.get(each, stands_on) for each, stands_on in partners.items()}
        target = rooms[server.host].take(host, apart_from)
        if target is None:
            staying[server.id] = NO_ROOM
        else:
            send(conn, server, target)
            going[server.id] = target
    forwarding.changed(conn)
    return Moves(going=going, staying=staying)


def _stands_on(host: str) -> sa.ColumnElement[bool]:
    return share_servers.c.worker_host == host


def _standing_on(host: str) -> sa.Select[Any]:
    """The rows of servers, in the order in which all hold them."""
    query = sa.select(share_servers).where(_stands_on(host))
    return query.order_by(share_servers.c.created_at, share_servers.c.id)


def _local(conn: Connection, host: str) -> dict[str, str]:
    """Servers of the host's own back ends."""
    query = (
        sa.select(share_servers.c.id)
        .join(services_table, services_table.c.host == share_servers.c.host)
        .where(share_servers.c.worker_host.is_(None), services_table.c.worker_host == host)
    )
    return dict.fromkeys(conn.scalars(query.order_by(share_servers.c.id)), ON_THIS_HOST_ONLY)


def _take_over(conn: Connection, server: sa.Row[Any], target: str) -> None:
    """What the old host was doing on it is resumed on the new one."""
    _begin(conn, server, worker_host=target)
    waiting = server_hosts.waiting_queue(server.id)
    requeue(conn, server.id, server.worker_host, waiting, is_lost=True)
    _enqueue_arrival(conn, server, server.generation + 1, target)


def ask_to_leave(conn: Connection, server: sa.Row[Any], target: str) -> None:
    """Have a server whose host lives go to another one. `server`: its row, held."""
    _begin(conn, server)
    waiting = server_hosts.waiting_queue(server.id)
    requeue(conn, server.id, server.worker_host, waiting)
    number = str(server.generation + 1)
    work = servers.server_work(DEPART, server.worker_host, server, number, number, target)
    enqueue(conn, work)


def _begin(conn: Connection, server: sa.Row[Any], **values: str) -> None:
    number = server.generation + 1
    _update(conn, server.id, is_moving=True, generation=number, move_reason=None, **values)


def _enqueue_arrival(conn: Connection, server: sa.Row[Any], number: int, target: str) -> None:
    which = f"{number}:{uuid4()}"
    enqueue(conn, servers.server_work(ARRIVE, target, server, which, str(number)))


def _update(conn: Connection, share_server_id: str, **values: Any) -> None:
    conn.execute(
        sa.update(share_servers)
        .where(share_servers.c.id == share_server_id)
        .values(updated_at=utcnow(), **values)
    )


# --- for operations -------------------------------------------------------------------------------


class Step(Value):
    """A move that goes on: of a server of `host` (host@backend). `serves`: it was set up and is to
    stand again."""

    host: str
    serves: bool


def going_on(conn: Connection, share_server_id: str, number: str) -> Step | None:
    """None: the server is gone, or another move has begun."""
    server = _of_move(conn, share_server_id, number)
    return server and Step(host=server.host, serves=servers.is_serving(conn, share_server_id))


def departed(conn: Connection, share_server_id: str, number: str, target: str) -> None:
    """Nothing of it is on the old host any more."""
    server = _of_move(conn, share_server_id, number)
    if server is None:
        return
    _update(conn, share_server_id, worker_host=target)
    waiting = server_hosts.waiting_queue(share_server_id)
    # who waited for the server there finds its work taken away
    mine = servers.server_work(DEPART, "", server, number).id
    requeue(conn, share_server_id, server.worker_host, waiting, but=mine, is_lost=True)
    _enqueue_arrival(conn, server, server.generation, target)
    forwarding.changed(conn)


def stays(conn: Connection, share_server_id: str, number: str, _target: str, reason: str) -> None:
    """It could not be taken down: its host looks after it again."""
    _end(conn, share_server_id, number, f"It could not leave its host: {reason}")


def not_shut_out(conn: Connection, share_server_id: str, number: str, reason: str) -> None:
    """Whatever may run on the old host could not be shut out, so nothing was started: try again."""
    server = _of_move(conn, share_server_id, number)
    if server is not None:
        _update(conn, share_server_id, move_reason=_told(server, reason))
        _enqueue_arrival(conn, server, server.generation, server.worker_host)


def fail_arrival(conn: Connection, share_server_id: str, number: str, reason: str) -> None:
    """Nobody looks after the server until the work is resumed, or its host is drained."""
    server = _of_move(conn, share_server_id, number)
    if server is not None:
        _update(conn, share_server_id, move_reason=_told(server, reason))


def resume_arrival(conn: Connection, share_server_id: str, number: str) -> None:
    """Raises Conflict when another move has begun since."""
    server = _of_move(conn, share_server_id, number)
    if server is None:
        raise Conflict(f"The share server {share_server_id} has moved again, or is gone.")
    _enqueue_arrival(conn, server, server.generation, server.worker_host)


def arrived(conn: Connection, share_server_id: str, number: str, reason: str | None) -> None:
    """Its new host looks after it, and does what has waited. `reason`: why it does not stand yet;
    its host tries on."""
    _end(conn, share_server_id, number, reason and f"{_STANDS_NOT}{reason}")


def not_standing_yet(conn: Connection, host: str) -> set[str]:
    """The servers of a host of which that is told: their moves have not set them up at once."""
    return set(conn.scalars(sa.select(share_servers.c.id).where(_stands_on(host), _STILL_TOLD)))


def stands(conn: Connection, share_server_id: str, host: str) -> None:
    """It has been set up on that host by now."""
    conn.execute(
        sa.update(share_servers)
        .where(share_servers.c.id == share_server_id, _stands_on(host), _STILL_TOLD)
        .values(updated_at=utcnow(), move_reason=None)
    )


def _end(conn: Connection, share_server_id: str, number: str, reason: str | None) -> None:
    server = _of_move(conn, share_server_id, number)
    if server is None:
        return
    _update(conn, share_server_id, is_moving=False, move_reason=reason and reason[:1023])
    waiting = server_hosts.waiting_queue(share_server_id)
    requeue(conn, share_server_id, waiting, server.worker_host)
    forwarding.changed(conn)


def _told(server: sa.Row[Any], reason: str) -> str:
    return f"It does not stand on {server.worker_host} yet: {reason}"[:1023]


def _of_move(conn: Connection, share_server_id: str, number: str) -> sa.Row[Any] | None:
    """The server, held, while that move goes on."""
    query = sa.select(share_servers).where(
        share_servers.c.id == share_server_id,
        share_servers.c.is_moving,
        share_servers.c.generation == int(number),
    )
    found: sa.Row[Any] | None = conn.execute(query.with_for_update()).one_or_none()
    return found
