"""Enqueueing work, in the transaction of the rows it belongs to, and queries about waiting work.

There is one queue per worker host. Work with the same key runs one after the other. Work is
identified by its id, so enqueueing the same id again adds nothing.

The rows are DBOS's, written here as DBOS would (`tests/unit/test_enqueue.py` compares), so that a
process that only enqueues, as the API does, loads no engine: see ADR 0027.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from uuid import uuid4

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from abaca import log_context
from abaca.db.session import is_sqlite, read, upsert
from abaca.workflow import wakening

APPLICATION = "abaca"
SCHEMA = "dbos"  # on PostgreSQL
VERSION = "1"
"""Pinned: by default DBOS derives it from the sources, and work begun before an upgrade would never
end. What does not fit the new code is found out when it is taken up again (see
`steps.Outgrown`)."""

LANES = 6
"""How much of the work on the shares of one share server runs at once: each share has its lane
there, and a lane is one key. So a server that hangs takes a few of a worker's slots, and not
all."""

SERIALIZATION = "abaca_json"
"""What stored arguments, results and errors are labelled as; see `serializer.py`."""
_STEP_COLUMNS = ("workflow_uuid", "function_id", "function_name")
_STATUS_COLUMNS = (
    *(
        "workflow_uuid",
        "status",
        "name",
        "authenticated_user",
        "authenticated_roles",
        "queue_name",
        "queue_partition_key",
    ),
    *(
        "application_version",
        "application_name",
        "serialization",
        "recovery_attempts",
        "priority",
        "creator_xid",
        "created_at",
        "error",
    ),
    *("executor_id", "owner_xid", "started_at_epoch_ms"),
)
_WAITS = "ENQUEUED"
_UNFINISHED = ("PENDING", _WAITS, "DELAYED")


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One operation to do: the workflow's name, the worker host whose queue takes it, the project
    that it is done for (see `slots`), an id, and the key that serialises it. `in_turn`: projects
    whose work has that key take turns; otherwise the oldest goes first."""

    name: str
    worker_host: str
    project_id: str
    id: str
    key: str
    args: tuple[str, ...]
    in_turn: bool = False


def enqueue(conn: Connection, *works: Work) -> None:
    """Store work. It exists when the transaction commits, which also wakes the workers, and does
    not if it rolls back.

    The id of the current thread's request is stored with it.
    """
    request_id = log_context.request_id()
    status, arguments = (
        upsert(conn, table).on_conflict_do_nothing()
        for table in (status_table(conn), input_table(conn))
    )
    for work in works:
        given = {
            "workflow_uuid": work.id,
            "status": _WAITS,
            "name": work.name,
            "authenticated_user": work.project_id,
            # kept with the work, no more
            "authenticated_roles": msgspec.json.encode([request_id]).decode()
            if request_id
            else None,
            "queue_name": queue_name(work.worker_host),
            "queue_partition_key": work.key,
            "application_version": VERSION,
            "application_name": APPLICATION,
            "serialization": SERIALIZATION,
            "recovery_attempts": 0,
            "priority": _turn(conn, work) if work.in_turn else 0,
            "creator_xid": str(uuid4()),
            **_now(conn),
        }
        conn.execute(status, given)
        conn.execute(
            arguments,
            {
                "workflow_uuid": work.id,
                "inputs": msgspec.json.encode({"args": work.args, "kwargs": {}}).decode(),
            },
        )
    wakening.announce(conn, {work.worker_host for work in works})


def _now(conn: Connection) -> dict[str, int]:
    """When work is stored on SQLite, in ms: the columns' default there has whole seconds, and the
    oldest work of a key goes first."""
    if not is_sqlite(conn):
        return {}
    now = time.time_ns() // 1_000_000
    return {"created_at": now, "updated_at": now}


def requeue(
    conn: Connection,
    share_server_id: str,
    from_host: str,
    to_host: str,
    *,
    but: str = "",
    is_lost: bool = False,
) -> None:
    """Put the work on a share server and its shares that waits in one queue into another. `but`:
    the id of what stays. `is_lost`: and what a worker has begun there, which finds at its next step
    that it is another's."""
    status, key = status_table(conn), f"server:{share_server_id}"
    column = status.c.queue_partition_key
    about = (column == key) | column.startswith(f"{key}:", autoescape=True)
    there = _in_flight(status) if is_lost else status.c.status == _WAITS
    _put(conn, from_host, to_host, there & about & (status.c.workflow_uuid != but))


def hand_over(conn: Connection, service_host: str, from_host: str, to_host: str) -> None:
    """Put what was asked of a host that is gone about a back end that others serve, too, but about
    no share server alone, into the queue of one of those: checks, questions, and to ensure all of
    it."""
    status = status_table(conn)
    is_asked = status.c.workflow_uuid.endswith(f":{service_host}", autoescape=True)
    of_all = status.c.queue_partition_key == f"service:{service_host}"
    _put(conn, from_host, to_host, _in_flight(status) & (is_asked | of_all))


def hand_over_lookups(conn: Connection, from_host: str, to_host: str) -> None:
    """The same of what is about subnets and no back end."""
    status = status_table(conn)
    is_lookup = status.c.queue_partition_key.startswith("subnet:", autoescape=True)
    _put(conn, from_host, to_host, _in_flight(status) & is_lookup)


def _put(conn: Connection, from_host: str, to_host: str, what: sa.ColumnElement[bool]) -> None:
    status = status_table(conn)
    conn.execute(
        sa.update(status)
        .where(status.c.queue_name == queue_name(from_host), what)
        .values(
            queue_name=queue_name(to_host),
            status=_WAITS,
            executor_id=None,
            owner_xid=None,
            started_at_epoch_ms=None,
        )
    )
    wakening.announce(conn, {to_host})


def _turn(conn: Connection, work: Work) -> int:
    """In which round of turns the work's project has its next one: after what it has put in before,
    and not before the round that goes on."""
    status = status_table(conn)
    of_project = sa.case((status.c.authenticated_user == work.project_id, status.c.priority))
    query = sa.select(sa.func.min(status.c.priority), sa.func.max(of_project))
    going_on, last = conn.execute(
        query.where(_in_flight(status), status.c.queue_partition_key == work.key)
    ).one()
    return max(going_on or 0, 0 if last is None else last + 1)


def request_of(stored: Sequence[str] | None) -> str:
    """The id of the request that caused the work, as stored with it (`authenticated_roles`); may be
    empty."""
    text = stored[0] if stored else ""
    return text if log_context.is_request_id(text) else ""


def in_flight(conn: Connection, project_id: str, most: int) -> int:
    """How much of the project's work waits or runs, counted up to `most`."""
    status = status_table(conn)
    found = (
        sa.select(sa.literal(1))
        .where(_in_flight(status), status.c.authenticated_user == project_id)
        .limit(most)
        .subquery()
    )
    return conn.scalar(sa.select(sa.func.count()).select_from(found)) or 0


def _in_flight(status: sa.TableClause) -> sa.ColumnElement[bool]:
    # Literals: the databases' index of work in flight is partial, and is used for them only.
    return status.c.status.in_([sa.literal_column("'ENQUEUED'"), sa.literal_column("'PENDING'")])


def unfinished(engine: Engine) -> list[str]:
    """The ids of all work that has not ended, the oldest first."""
    with read(engine) as conn:
        status = status_table(conn)
        query = (
            sa.select(status.c.workflow_uuid)
            .where(status.c.status.in_(_UNFINISHED))
            .order_by(status.c.created_at)
        )
        return list(conn.scalars(query))


def queue_name(worker_host: str) -> str:
    """The queue of a worker host."""
    return f"host-{worker_host}"


def status_table(conn: Connection) -> sa.TableClause:
    """DBOS's table of work, with the columns that Abaca's statements use."""
    return _tables(None if is_sqlite(conn) else SCHEMA)[0]


def input_table(conn: Connection) -> sa.TableClause:
    """DBOS's table of arguments."""
    return _tables(None if is_sqlite(conn) else SCHEMA)[1]


def output_table(conn: Connection) -> sa.TableClause:
    """DBOS's table of results and of errors that ended work."""
    return _tables(None if is_sqlite(conn) else SCHEMA)[2]


def steps_table(conn: Connection) -> sa.TableClause:
    """DBOS's table of recorded steps, by the work that they belong to."""
    return _tables(None if is_sqlite(conn) else SCHEMA)[3]


@functools.cache
def _tables(schema: str | None) -> tuple[sa.TableClause, ...]:
    key = "workflow_uuid"
    return (
        sa.table("workflow_status", *map(sa.column, _STATUS_COLUMNS), schema=schema),
        sa.table("workflow_input", sa.column(key), sa.column("inputs"), schema=schema),
        sa.table("workflow_output", sa.column(key), sa.column("error"), schema=schema),
        sa.table("operation_outputs", *map(sa.column, _STEP_COLUMNS), schema=schema),
    )
