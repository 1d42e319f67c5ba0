"""Engines and the only places where a transaction begins.

SQLite runs in WAL mode with explicit BEGINs: `BEGIN IMMEDIATE` to write (a deferred transaction
that turns to writing fails under load with "database is locked"), plain `BEGIN` to read, which in
WAL mode never waits for a writer. PostgreSQL writes in READ COMMITTED and reads in autocommit:
rules that need more lock the rows they judge by.
"""

from __future__ import annotations

import functools
import select
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import psycopg
import sqlalchemy as sa
from psycopg.errors import IdleInTransactionSessionTimeout
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, CursorResult, Engine, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError, OperationalError

from abaca.db import versions
from abaca.db.owner_rights import owner_rights

_READ_ONLY = "abaca_read_only"

# A machine that dies in the middle of a transaction, or a process that is stopped there, would keep
# its locks until TCP gives up, or for good. None of ours is idle in one for as long as this.
IDLE_SECONDS = 10.0
# For the other direction: a database whose machine has died is found dead after some 25 s in place
# of two hours. libpq's own names; tcp_user_timeout in ms. What the URL says comes first.
_LIBPQ = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_readers: WeakKeyDictionary[Engine, Engine] = WeakKeyDictionary()


def utcnow() -> datetime:
    """Now, UTC, without zone, as the tables keep it."""
    return datetime.now(UTC).replace(tzinfo=None)


def database_now(conn: Connection) -> datetime:
    """Now by the clock of the database, of which there is one for all machines, UTC without zone.
    SQLite's is this machine's."""
    return (
        utcnow()
        if is_sqlite(conn)
        else conn.execute(sa.text("SELECT clock_timestamp() AT TIME ZONE 'UTC'")).scalar_one()
    )


def create_engine(url: str, *, pool_size: int = 10, idle_seconds: float = IDLE_SECONDS) -> Engine:
    """An engine for `sqlite:///path` or `postgresql+psycopg://…`. SQLite: WAL, synchronous=FULL,
    foreign keys on, 30 s of patience. PostgreSQL: a transaction in which nothing is asked for
    `idle_seconds` ends, an OperationalError for who asks on."""
    options: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": pool_size,
        "json_deserializer": msgspec.json.decode,
    }
    parsed = sa.make_url(url)
    if not parsed.get_backend_name().startswith("sqlite"):
        options["connect_args"] = postgresql_arguments(parsed)
        engine = sa.create_engine(url, **options)
        # Changing a connection to autocommit and back takes as long as reading one share, so
        # reading has connections of its own.
        reader = sa.create_engine(
            url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **options
        )
        for one in (engine, reader):
            event.listen(one, "checkout", _refuse_dead)
        event.listen(engine, "connect", functools.partial(_limit_idleness, idle_seconds))
        event.listen(engine, "handle_error", _as_outage)
        event.listen(engine, "engine_disposed", lambda _: reader.dispose())
        event.listen(engine, "after_execute", versions.note)
        _readers[engine] = reader
        return engine
    engine = create_sqlite_engine(url, isolation_level=None, **options)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "after_execute", versions.note)
    return engine


def postgresql_arguments(url: sa.URL) -> dict[str, Any]:
    """What libpq is told beside what the URL tells it."""
    return {name: value for name, value in _LIBPQ.items() if name not in url.query}


def _limit_idleness(seconds: float, driver: Any, _record: Any) -> None:
    driver.execute(f"SET idle_in_transaction_session_timeout = '{seconds}s'")
    driver.commit()


def _as_outage(context: ExceptionContext) -> OperationalError | None:
    """The end of a transaction that was idle for too long is an end of the connection as others
    are; psycopg counts it among errors of the program."""
    error = context.original_exception
    if not isinstance(error, IdleInTransactionSessionTimeout):
        return None
    context.is_disconnect = True
    return OperationalError(context.statement, context.parameters, error)


def allow_idleness(conn: Connection) -> None:
    """For this transaction, which holds nobody up and waits for something else: a pipe, a disk."""
    if not is_sqlite(conn):
        conn.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def create_sqlite_engine(url: str, *, isolation_level: str | None, **options: Any) -> Engine:
    """SQLite with our pragmas; `isolation_level` is that of Python's sqlite3, None leaves every
    BEGIN to us.

    Connecting reads whatever lies beside the database, and root does it with no more rights
    than those have who may put something there. Afterwards SQLite stays with the files that it has
    opened.
    """
    engine = sa.create_engine(url, **options)
    folder = Path(engine.url.database or "").parent

    def connect(dialect: Any, _record: Any, arguments: Any, named: Any) -> Any:
        with owner_rights(folder):
            connection = dialect.connect(*arguments, **{"timeout": 30, **named})
            connection.isolation_level = isolation_level
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "foreign_keys=ON",
                "busy_timeout=30000",
                "temp_store=MEMORY",  # anybody may fill the disk of temporary files
            ):
                connection.execute(f"PRAGMA {pragma}")
        return connection

    event.listen(engine, "do_connect", connect)
    return engine


def is_sqlite(conn: Connection) -> bool:
    """Whether the connection is to SQLite."""
    return conn.dialect.name == "sqlite"


@contextmanager
def whatever_text(conn: Connection) -> Iterator[None]:
    """What is read in this block may be text that is not UTF-8, as SQLite keeps whatever somebody
    writes: such bytes are read as U+FFFD, in place of an error."""
    raw: Any = conn.connection.dbapi_connection if is_sqlite(conn) else None
    try:
        if raw is not None:
            raw.text_factory = _with_replacements
        yield
    finally:
        if raw is not None:
            raw.text_factory = str


def _with_replacements(stored: bytes) -> str:
    return stored.decode(errors="replace")


@contextmanager
def begin(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: commits at the end, rolls back on any error."""
    with engine.begin() as conn:
        versions.begun(conn)
        yield conn
        versions.raise_version(conn)


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """A connection to read from only; on SQLite all reads within it see one snapshot."""
    reader = _readers.get(engine)
    with (
        engine.connect().execution_options(**{_READ_ONLY: True})
        if reader is None
        else reader.connect() as conn
    ):
        yield conn


class Lookup:
    """A query that is asked far more often than others: built and compiled once, and carried out
    by PostgreSQL's driver without SQLAlchemy, which takes longer for it than PostgreSQL (ADR 0031,
    ADR 0069). `parameters` as in the query's `bindparam`s, by name. Its columns must be of types
    that the driver itself knows."""

    def __init__(self, query: sa.Select[Any]) -> None:
        self._query = query
        # its text, and parameters whose values the query has itself
        self._compiled: tuple[str, dict[str, Any]] | None = None

    def first(self, conn: Connection, parameters: dict[str, Any]) -> Sequence[Any] | None:
        """The first row, or None. Raises OperationalError as SQLAlchemy does."""
        if is_sqlite(conn):
            return conn.execute(self._query, parameters).first()
        row: Sequence[Any] | None = self._carry_out(conn, parameters).fetchone()
        return row

    def all(self, conn: Connection, parameters: dict[str, Any]) -> Sequence[Sequence[Any]]:
        """All rows. Raises OperationalError as SQLAlchemy does."""
        if is_sqlite(conn):
            return conn.execute(self._query, parameters).all()
        rows: Sequence[Sequence[Any]] = self._carry_out(conn, parameters).fetchall()
        return rows

    def _carry_out(self, conn: Connection, parameters: dict[str, Any]) -> psycopg.Cursor[Any]:
        if self._compiled is None:
            # with parameters: what has to stand in the text itself (a limit) is put there by them
            compiled = self._query.compile(dialect=conn.dialect)
            state = compiled.construct_expanded_state(parameters)
            own = state.parameters.keys() - parameters.keys()
            self._compiled = state.statement, {name: state.parameters[name] for name in own}
        text, own_parameters = self._compiled
        parameters = own_parameters | parameters
        for listener in conn.dispatch.before_cursor_execute:
            listener(conn, None, text, parameters, None, False)
        driver: Any = conn.connection.driver_connection
        try:
            cursor: psycopg.Cursor[Any] = driver.execute(text, parameters)
        except (psycopg.OperationalError, IdleInTransactionSessionTimeout) as error:
            conn.invalidate(error)
            raise OperationalError(text, parameters, error) from error
        return cursor


def dicts(result: CursorResult[Any]) -> list[dict[str, Any]]:
    """All rows as dicts by column, several times faster than by way of `mappings()`: for what long
    lists are made of."""
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result.all()]


def lock_row(conn: Connection, table: sa.Table, key: str) -> sa.Row[Any] | None:
    """Read one row by primary key and hold it until the transaction ends; None when it is not
    there.

    SQLite has one writer at a time, so the transaction itself is the lock there.
    """
    return conn.execute(_locking(table), {"key": key}).one_or_none()


@functools.cache
def _locking(table: sa.Table) -> sa.Select[Any]:
    return (
        sa.select(table)
        .where(next(iter(table.primary_key)) == sa.bindparam("key"))
        .with_for_update()
    )


def _refuse_dead(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
    """Before a pooled connection is used: on a sound one nothing waits to be read, on a dead one
    its end does. The pool then makes new ones.

    Finds a restarted server as pool_pre_ping does, without its round trip, which costs about as
    much as reading one share.
    """
    poll = select.poll()
    if not dbapi_connection.closed:
        poll.register(dbapi_connection.fileno(), select.POLLIN)
    if dbapi_connection.closed or poll.poll(0):
        raise InvalidatePoolError("the server has ended a connection")


def is_outage(error: OperationalError) -> bool:
    """Whether the database is not there, too busy or full, so that the same may work later;
    otherwise the statement is wrong."""
    return getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR


def upsert(conn: Connection, table: sa.TableClause) -> Any:
    """The database's own INSERT on the table, which knows `on_conflict_do_update` and
    `on_conflict_do_nothing`."""
    return (sqlite.insert if is_sqlite(conn) else postgresql.insert)(table)


def _begin_sqlite(conn: Connection) -> None:
    read_only = conn.get_execution_options().get(_READ_ONLY, False)
    conn.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
