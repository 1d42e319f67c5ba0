"""DBOS as used outside of a worker: its tables, connections and client. Processes that only enqueue
work need none of it: see `queue.py`."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from dbos import DBOSClient
from dbos._sys_db import SystemDatabase
from sqlalchemy.engine import Engine

from abaca.db.session import create_engine, create_sqlite_engine
from abaca.workflow.queue import APPLICATION, SCHEMA
from abaca.workflow.serializer import JsonSerializer

_clients: WeakKeyDictionary[Engine, DBOSClient] = WeakKeyDictionary()


def migrate(url: str, schema: str = SCHEMA) -> None:
    """Create or upgrade DBOS's tables, which on PostgreSQL are in that schema. Safe to repeat."""
    engine = create_dbos_engine(url)
    try:
        _system_database(engine, schema).run_migrations()
    finally:
        engine.dispose()


def create_dbos_engine(url: str) -> Engine:
    """The engine that DBOS itself uses. On SQLite DBOS begins transactions its own way, so only the
    pragmas are set here."""
    if not url.startswith("sqlite"):
        return create_engine(url, pool_size=20)
    return create_sqlite_engine(url, isolation_level="IMMEDIATE", pool_size=20, max_overflow=20)


def client(engine: Engine) -> DBOSClient:
    """DBOS's client for an engine; one object per engine."""
    client = _clients.get(engine)
    if client is None:
        client = DBOSClient(
            system_database_engine=engine,
            serializer=JsonSerializer(),
            application_name=APPLICATION,
            lazy=True,
        )
        _clients[engine] = client
    return client


def _system_database(engine: Engine, schema: str) -> SystemDatabase:
    return SystemDatabase.create(
        system_database_url=engine.url.render_as_string(hide_password=False),
        engine_kwargs={},
        engine=engine,
        schema=schema,
        serializer=JsonSerializer(),
        executor_id=None,
        app_name=APPLICATION,
    )
