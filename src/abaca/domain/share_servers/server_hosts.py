"""On whose host a share server stands, which is whose worker does the work on it.

Where one worker serves a back end, it is that one's. Of a back end that several serve, each server
has a host of its own; while it moves, its work waits in a queue that no worker listens to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import hosts, service_workers, services, share_instances, share_servers
from abaca.domain.rows.heartbeats import is_up
from abaca.domain.rows.states import HOST, SHARE_SERVER, Permit

_WAITING = "moving:"

WORKER_HOST = sa.func.coalesce(share_servers.c.worker_host, services.c.worker_host)
"""Of a server joined with its service."""
_QUEUE = sa.case(
    (share_servers.c.is_moving, sa.literal(_WAITING) + share_servers.c.id), else_=WORKER_HOST
)
_SERVERS = share_servers.join(services, services.c.host == share_servers.c.host)


def waiting_queue(share_server_id: str) -> str:
    """Where the work on a server that moves waits, in place of a worker's host."""
    return f"{_WAITING}{share_server_id}"


def queues(conn: Connection, share_server_ids: Collection[str]) -> dict[str, str]:
    """By server: the worker host whose queue takes its work until this transaction ends. A move,
    which takes along what waits, begins or ends before or after that."""
    query = (
        sa.select(share_servers.c.id, _QUEUE)
        .select_from(_SERVERS)
        .where(share_servers.c.id.in_(share_server_ids))
        .order_by(share_servers.c.created_at, share_servers.c.id)  # as moves hold them
        .with_for_update(read=True, key_share=True, of=share_servers)
    )
    return dict(conn.execute(query).all())


def one_of_each(conn: Connection, share_server_ids: Collection[str]) -> dict[str, str]:
    """host@backend of these servers → a worker host that one of them stands on: who is asked about
    them."""
    query = (
        sa.select(share_servers.c.host, sa.func.min(WORKER_HOST))
        .select_from(_SERVERS)
        .where(share_servers.c.id.in_(share_server_ids))
        .group_by(share_servers.c.host)
        .order_by(share_servers.c.host)
    )
    return dict(conn.execute(query).all())


def places(conn: Connection, share_server_ids: Collection[str]) -> dict[str, str]:
    """Where these servers stand, as far as workers are up, with the worker host to ask:
    host@backend, and before it, where several serve that, `worker host:`."""
    signs = ("is_ready", "expires_at", "created_at", "updated_at")
    of_worker = service_workers.c.service_host == share_servers.c.host
    of_worker &= service_workers.c.worker_host == share_servers.c.worker_host
    query = (
        sa.select(
            share_servers.c.host,
            share_servers.c.worker_host.label("stands_on"),
            WORKER_HOST.label("asked"),
            *(sa.func.coalesce(service_workers.c[n], services.c[n]).label(n) for n in signs),
        )
        .select_from(_SERVERS.outerjoin(service_workers, of_worker))
        .where(share_servers.c.id.in_(share_server_ids))
        .distinct()
    )
    found = [row for row in conn.execute(query) if is_up(row._mapping)]
    return {
        f"{row.stands_on}:{row.host}" if row.stands_on else row.host: row.asked for row in found
    }


def at(place: str) -> sa.ColumnElement[bool]:
    """SQL condition: a server is at that place."""
    worker_host, is_shared, service_host = place.rpartition(":")
    there = share_servers.c.host == service_host
    return there & (share_servers.c.worker_host == worker_host) if is_shared else there


def service_at(place: str) -> str:
    """host@backend."""
    return place.rpartition(":")[2]


def on(worker_host: str) -> sa.ColumnElement[bool]:
    """SQL condition: a server of a back end that this worker serves stands on its host, and does
    not move."""
    here = share_servers.c.worker_host.is_(None) | (share_servers.c.worker_host == worker_host)
    return here & ~share_servers.c.is_moving


def elsewhere(conn: Connection, service_host: str, worker_host: str) -> set[str]:
    """The servers of host@backend that stand on other hosts, or go there."""
    others = share_servers.c.worker_host.is_not(None) & (share_servers.c.worker_host != worker_host)
    query = sa.select(share_servers.c.id).where(share_servers.c.host == service_host, others)
    return set(conn.scalars(query))


class Room:
    """The workers of a shared back end that live and are ready, with how many servers and shares
    each has; those on hosts that take shares may be given its servers. Read once."""

    def __init__(self, conn: Connection, service_host: str) -> None:
        query = (
            sa.select(service_workers, hosts.c.state)
            .outerjoin(hosts, hosts.c.name == service_workers.c.worker_host)
            .where(service_workers.c.service_host == service_host)
        )
        live = [row for row in conn.execute(query) if is_up(row._mapping)]
        names = [row.worker_host for row in live]
        here = share_servers.c.worker_host
        number = sa.select(here, sa.func.count()).where(here.in_(names)).group_by(here)
        self._number: Counter[str] = Counter(dict(conn.execute(number).all()))
        shares = (
            sa.select(here, sa.func.count())
            .join(share_instances, share_instances.c.share_server_id == share_servers.c.id)
            .where(here.in_(names))
            .group_by(here)
        )
        self._shares: Counter[str] = Counter(dict(conn.execute(shares).all()))
        self._open: set[str] = {
            row.worker_host
            for row in live
            if row.state is None or HOST.permits(row.state, Permit.TAKE_SHARES)
        }
        self._unfenced = {row.worker_host for row in live if row.state != "fenced"}

    def take(self, besides: str = "", rather_not: Collection[str] = ()) -> str | None:
        """The one with the fewest servers, and then shares, which gets one more server; one of
        `rather_not` if there is no other. None: there is none besides that host."""
        fitting = self._open - {besides}
        if not fitting:
            return None
        taken = min(fitting.difference(rather_not) or fitting, key=self._load)
        self._number[taken] += 1
        return taken

    def helper(self, besides: str) -> str | None:
        """Who does what is about no server alone: one that takes servers if there is one, or one
        that is draining, but none that is fenced; None: there is none besides that host."""
        fitting = self._open - {besides} or self._unfenced - {besides}
        return min(fitting, key=self._load, default=None)

    def has_others(self, worker_hosts: Collection[str]) -> bool:
        """Whether a server can be given to one that is not among these."""
        return not self._open.issubset(worker_hosts)

    def uneven(self, sources: Collection[str]) -> tuple[str, str] | None:
        """Of these hosts the fullest, and the emptiest of all that it could give a server to; None:
        it has at most one more."""
        if not (giving := self._open & set(sources)):
            return None
        fullest, emptiest = max(giving, key=self._load), min(self._open, key=self._load)
        is_uneven = self._number[fullest] - self._number[emptiest] > 1
        return (fullest, emptiest) if is_uneven else None

    def move(self, source: str, target: str) -> None:
        self._number[source] -= 1
        self._number[target] += 1

    def _load(self, name: str) -> tuple[int, int, str]:
        return self._number[name], self._shares[name], name


def can_stand_apart(
    conn: Connection, service_host: str, share_network_id: str | None, worker_hosts: Collection[str]
) -> bool:
    """Whether a share of that network on a shared back end has a server on none of these hosts, or
    can be given one."""
    of_network = sa.select(share_servers.c.worker_host).where(
        share_servers.c.host == service_host,
        share_servers.c.share_network_id == share_network_id,
        share_servers.c.status.in_(SHARE_SERVER.permitted[Permit.TAKE_SHARES]),
    )
    if standing := set(conn.scalars(of_network)):
        return standing.isdisjoint(worker_hosts)
    return Room(conn, service_host).has_others(worker_hosts)


def host_for(conn: Connection, service_host: str, rather_not: Collection[str] = ()) -> str | None:
    """On which host a new server of host@backend is to stand, on one of `rather_not` if there is no
    other; None: on that of its only worker.

    Of a shared one where nobody has room it is the host of who does what is about all of it, as if
    its host took shares.
    """
    query = sa.select(services.c.is_shared, services.c.worker_host)
    service = conn.execute(query.where(services.c.host == service_host)).one()
    if not service.is_shared:
        return None
    return Room(conn, service_host).take(rather_not=rather_not) or str(service.worker_host)
