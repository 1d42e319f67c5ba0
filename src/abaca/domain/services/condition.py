"""How an installation is, for administrators: its back ends with what is on them, its work, and
what needs attention."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import database_now
from abaca.db.tables import hosts, services, share_instances, share_servers
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.capacity import placement
from abaca.domain.rows.heartbeats import is_up
from abaca.domain.services import hosts as worker_hosts
from abaca.scheduler.filters.capacity import room_gb
from abaca.values import Value
from abaca.workflow import figures
from abaca.workflow.queue import status_table

MOST = 1000
"""Problems of one kind that are listed; the others are counted."""

_LONG_WAIT = timedelta(minutes=10)
_PARKED = ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


class BackEnd(Value):
    """A back end. `state`: up, down, or that it gets no new shares although it is up: disabled, or
    what its host is (draining, fenced). `servers`, `shares`:
    status → how many. `size_gb`, `room_gb`: of all its pools together; room is what further shares
    may be promised. `heartbeat`: the last one, UTC."""

    host: str
    state: str
    reason: str | None
    servers: dict[str, int]
    shares: dict[str, int]
    size_gb: float
    room_gb: float
    heartbeat: datetime | None


class Problem(Value):
    """Something that needs attention: what it is, its id, why, and the command to run next."""

    what: str
    id: str
    why: str
    do: str


class Condition(NamedTuple):
    """`at`: the database's clock, UTC. `work`: state → number of operations. `number`: of all
    problems, of which the list may leave some out."""

    at: datetime
    back_ends: list[BackEnd]
    work: dict[str, int]
    problems: list[Problem]
    number: int


def word(id_: str) -> str:
    """What a row names, in a command to be copied: one word and no option, whoever wrote it."""
    return f"-- {shlex.quote(id_)}" if id_.startswith("-") else shlex.quote(id_)


def get(conn: Connection) -> Condition:
    """In a fixed number of statements, however large the installation is."""
    now = database_now(conn)
    query = (
        sa.select(
            services,
            placement.HOST_STATE.label("host_state"),
            hosts.c.state_reason.label("host_reason"),
        )
        .outerjoin(hosts, hosts.c.name == services.c.worker_host)
        .order_by(services.c.host)
    )
    rows = [dict(row) for row in conn.execute(query).mappings()]
    back_ends = _back_ends(conn, rows)
    counts = figures.count(conn)
    work: Counter[str] = Counter()
    for (_, state), count in counts.items():
        work[state] += count.number
    problems = [
        *_of_back_ends(rows, back_ends),
        *_of_hosts(conn),
        *_of_servers(conn),
        *_of_moves(conn),
        *_of_shares(back_ends),
        *_of_work(conn, now),
    ]
    servers = sum(n for one in back_ends for state, n in one.servers.items() if "error" in state)
    unlisted = max(0, servers - MOST) + max(0, work["parked"] - MOST)
    return Condition(now, back_ends, dict(work), problems, len(problems) + unlisted)


def _back_ends(conn: Connection, rows: list[dict[str, Any]]) -> list[BackEnd]:
    servers = _counts(conn, share_servers)
    shares = _counts(conn, share_instances)
    size: defaultdict[str, float] = defaultdict(float)
    room: defaultdict[str, float] = defaultdict(float)
    for pool in placement.candidates(conn):
        host = str(pool.host).partition("#")[0]
        size[host] += pool.stats.total_capacity_gb
        room[host] += max(0.0, room_gb(pool))
    return [
        BackEnd(
            host=row["host"],
            state=_state(row),
            reason=row["state_reason"] or row["disabled_reason"] or row["host_reason"],
            servers=dict(servers[row["host"]]),
            shares=dict(shares[row["host"]]),
            size_gb=size[row["host"]],
            room_gb=room[row["host"]],
            heartbeat=row["updated_at"],
        )
        for row in rows
    ]


def _state(row: dict[str, Any]) -> str:
    if not is_up(row):
        return "down"
    if not placement.takes_shares(row["host_state"]):
        return str(row["host_state"])
    return "disabled" if row["disabled"] else "up"


def _counts(conn: Connection, table: sa.Table) -> defaultdict[str, Counter[str]]:
    """Back end → status → how many."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    query = sa.select(table.c.host, table.c.status, sa.func.count())
    for host, status, number in conn.execute(query.group_by(table.c.host, table.c.status)):
        found[(host or "").partition("#")[0]][status] += number
    return found


def _of_back_ends(rows: list[dict[str, Any]], back_ends: list[BackEnd]) -> Iterator[Problem]:
    for row, back_end in zip(rows, back_ends, strict=True):
        if back_end.state == "down":
            heartbeat = back_end.heartbeat
            since = f"{heartbeat:%Y-%m-%d %H:%M} UTC" if heartbeat else "it was made"
            why = row["state_reason"] if row["is_ready"] is False else None
            yield Problem(
                what="back end down",
                id=back_end.host,
                why=why or f"no heartbeat since {since}",
                do="abaca doctor",
            )
        elif row["unserved_share_servers"]:
            yield Problem(
                what="share servers do not serve",
                id=back_end.host,
                why=f"{row['unserved_share_servers']} at the last look",
                do="abaca doctor",
            )


def _of_hosts(conn: Connection) -> Iterator[Problem]:
    """Hosts of shared back ends whose worker does not live, and those taken for dead."""
    standing = sa.select(share_servers.c.worker_host).distinct()
    held = set(conn.scalars(standing.where(share_servers.c.worker_host.is_not(None))))
    for view in worker_hosts.find(conn):
        if view["state"] == worker_hosts.DOWN and view["name"] in held:
            refusal = view["failover_refusal"]
            left_alone = f"; it is not taken for dead: {refusal}" if refusal else ""
            yield Problem(
                what="worker host down",
                id=view["name"],
                why=f"share servers are on it{left_alone}",
                do=f"abaca-manage host evacuate {word(view['name'])}",
            )
        elif view["state"] == "fenced" and view["failed_over_at"] is not None:
            yield Problem(
                what="worker host fenced",
                id=view["name"],
                why=view["state_reason"] or "somebody did so",
                do=f"abaca-manage host enable {word(view['name'])}",
            )


def _of_servers(conn: Connection) -> Iterator[Problem]:
    changing = (mappings.c.is_served.is_(False)) | (mappings.c.is_leaving.is_(True))
    is_changing = (
        sa.select(sa.literal(1))
        .where(mappings.c.share_server_id == share_servers.c.id, changing)
        .exists()
    )
    query = sa.select(
        share_servers.c.id,
        share_servers.c.status,
        share_servers.c.status_reason,
        is_changing.label("is_changing"),
    )
    in_error = share_servers.c.status.like("%error%")
    for row in conn.execute(query.where(in_error).order_by(share_servers.c.id).limit(MOST)):
        command = "retry_network_update" if row.is_changing else "list"
        yield Problem(
            what=f"share server in {row.status}",
            id=row.id,
            why=row.status_reason or "the worker's log says why",
            do=f"abaca-manage share_server {command}"
            + (f" {word(row.id)}" if row.is_changing else ""),
        )


def _of_moves(conn: Connection) -> Iterator[Problem]:
    query = sa.select(share_servers.c.id, share_servers.c.move_reason)
    unfinished = share_servers.c.move_reason.is_not(None)
    for row in conn.execute(query.where(unfinished).order_by(share_servers.c.id).limit(MOST)):
        yield Problem(
            what="share server has not moved well",
            id=row.id,
            why=row.move_reason,
            do="abaca-manage share_server list",
        )


def _of_shares(back_ends: list[BackEnd]) -> Iterator[Problem]:
    for back_end in back_ends:
        number = sum(n for status, n in back_end.shares.items() if "error" in status)
        if number:
            yield Problem(
                what="shares in error",
                id=back_end.host,
                why=f"{number}; their projects have messages that say why",
                do="abaca-manage operations list",
            )


def _of_work(conn: Connection, now: datetime) -> Iterator[Problem]:
    status = status_table(conn)
    query = sa.select(status.c.workflow_uuid, status.c.created_at)
    parked = query.where(status.c.status.in_(_PARKED)).order_by(status.c.created_at).limit(MOST)
    for id_, created in conn.execute(parked):
        yield Problem(
            what="operation parked",
            id=str(id_),
            why=f"since {figures.moment(created):%Y-%m-%d %H:%M} UTC",
            do=f"abaca-manage operations show {word(id_)}",
        )
    # the oldest only: what waits behind it waits for the same
    waiting = query.where(status.c.status == "ENQUEUED").order_by(status.c.created_at).limit(1)
    for id_, created in conn.execute(waiting):
        if now - figures.moment(created) > _LONG_WAIT:
            yield Problem(
                what="operation waits",
                id=str(id_),
                why=f"since {figures.moment(created):%Y-%m-%d %H:%M} UTC",
                do=f"abaca-manage operations show {word(id_)}",
            )
