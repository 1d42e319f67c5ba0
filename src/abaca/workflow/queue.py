"""Putting work into the database, in the transaction of the rows it belongs to, and the tables that the work is kept in.

One queue a worker host. Work with the same key runs one after the other; the same id is the same work, however often it is put in.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import msgspec
import sqlalchemy as sa
from dbos import DBOSClient
from dbos._sys_db import SystemDatabase
from sqlalchemy.engine import Connection, Engine

from abaca import log_context
from abaca.db.session import create_engine, create_sqlite_engine, is_sqlite
from abaca.workflow import wakening
from abaca.workflow.serializer import JsonSerializer

APPLICATION = "abaca"
SCHEMA = "dbos"  # on PostgreSQL
VERSION = "1"
"""Pinned: by default DBOS derives it from the sources, and work begun before an upgrade would never end. What does not fit the new code is
found out when it is taken up again (see `steps.Outgrown`)."""

LANES = 6
"""How much of the work on the shares of one share server runs at once: each share has its lane there, and a lane is one key. So a server
that hangs takes a few of a worker's places, and not all."""

_clients: WeakKeyDictionary[Engine, DBOSClient] = WeakKeyDictionary()


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One operation to carry out: the workflow's name, the worker host whose queue takes it, the project that it is done for (see `places`),
    an id and the key that serialises it."""

    name: str
    worker_host: str
    project_id: str
    id: str
    key: str
    args: tuple[str, ...]


def enqueue(conn: Connection, *works: Work) -> None:
    """Store work; it is there when the transaction commits, which also wakes the workers concerned, and gone when it rolls back.

    It takes along the id of the request that this thread works for.
    """
    request_id = log_context.request_id()
    for work in works:
        client(conn.engine).enqueue_in_transaction(
            conn,
            {
                "workflow_name": work.name,
                "queue_name": queue_name(work.worker_host),
                "workflow_id": work.id,
                "queue_partition_key": work.key,
                "authenticated_user": work.project_id,
                "authenticated_roles": [request_id] if request_id else [],  # DBOS keeps it with the work, and has no use for it
                "app_version": VERSION,
            },
            *work.args,
        )
    wakening.announce(conn, {work.worker_host for work in works})


def request_of(stored: Sequence[str] | None) -> str:
    """The id of the request that work was put in for, as it is stored with the work (`authenticated_roles`). Empty: for none."""
    text = stored[0] if stored else ""
    return text if log_context.is_request_id(text) else ""


def in_flight(conn: Connection, project_id: str, most: int) -> int:
    """How many pieces of the project's work wait or run; they are counted up to `most`."""
    status = status_table(conn)
    # Literals: the databases' index of work in flight is partial, and is used for them only.
    there = status.c.status.in_([sa.literal_column("'ENQUEUED'"), sa.literal_column("'PENDING'")])
    found = sa.select(sa.literal(1)).where(there, status.c.authenticated_user == project_id).limit(most).subquery()
    return conn.scalar(sa.select(sa.func.count()).select_from(found)) or 0


def unfinished(engine: Engine) -> list[str]:
    """The ids of all work that has not ended, the oldest first."""
    statuses = ["PENDING", "ENQUEUED", "DELAYED"]
    return [workflow.workflow_id for workflow in client(engine).list_workflows(status=statuses, load_input=False, load_output=False)]


def queue_name(worker_host: str) -> str:
    """The queue that a worker host takes its work from."""
    return f"host-{worker_host}"


def status_table(conn: Connection) -> sa.TableClause:
    """DBOS's table of work, with the columns that statements of ours read."""
    return _status_table(None if is_sqlite(conn) else SCHEMA)


@functools.cache
def _status_table(schema: str | None) -> sa.TableClause:
    columns = ("workflow_uuid", "name", "status", "created_at", "queue_name", "authenticated_user")
    return sa.table("workflow_status", *map(sa.column, columns), schema=schema)


def migrate(url: str) -> None:
    """Create or upgrade the tables that work and its steps are kept in. Safe to repeat."""
    engine = create_dbos_engine(url)
    try:
        _system_database(engine).run_migrations()
    finally:
        engine.dispose()


def create_dbos_engine(url: str) -> Engine:
    """The engine that DBOS itself uses: on SQLite it must begin transactions its own way, so only the pragmas are ours."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_size=20)
    return create_sqlite_engine(url, isolation_level="IMMEDIATE", pool_size=20, max_overflow=20)


def client(engine: Engine) -> DBOSClient:
    """DBOS from outside of a worker: one object an engine."""
    client = _clients.get(engine)
    if client is None:
        client = DBOSClient(system_database_engine=engine, serializer=JsonSerializer(), application_name=APPLICATION, lazy=True)
        _clients[engine] = client
    return client


def _system_database(engine: Engine) -> SystemDatabase:
    return SystemDatabase.create(
        system_database_url=engine.url.render_as_string(hide_password=False),
        engine_kwargs={},
        engine=engine,
        schema=SCHEMA,
        serializer=JsonSerializer(),
        executor_id=None,
        app_name=APPLICATION,
    )
