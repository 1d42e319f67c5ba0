"""All rows of a database in one form that SQLite and PostgreSQL share: what backups hold, and how
an installation moves from one to the other.

Tables and columns are those that the database itself names, Abaca's and those of the work engine
alike, so a new table needs no change here. The form is lines of JSON: an object `{"table": …,
"columns": […]}`, then an array for each of its rows. Values are null, text, numbers, true and
false; times are text in UTC, JSON columns are their text, bytes are base64.

SQLite stores any value in any column, and whoever has taken over the API process could have
written one: a value that is not of its column's type is an error that names table, key and column.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection, Engine

from abaca.db.session import allow_idleness, is_sqlite, read
from abaca.errors import Conflict, Invalid

VERSIONS = ("alembic_version", "dbos_migrations", "sqlite_sequence")
"""Tables that say which tables there are. They are made with the others, not filled."""

LONGEST_LINE = 16 * 2**20
_BATCH = 500
_DIGEST_BYTES = 32
_MODULUS = 1 << (8 * _DIGEST_BYTES)
_INTEGERS = {"integer": 2**31, "bigint": 2**63}


class Rows(NamedTuple):
    """How many rows a table has, and a digest of them that does not depend on their order."""

    number: int
    digest: str


class _Column(NamedTuple):
    name: str
    kind: str
    longest: int | None


class _Sum:
    """Adds the digests of rows up: databases give rows in orders of their own."""

    def __init__(self) -> None:
        self.number = 0
        self._total = 0

    def add(self, line: bytes) -> None:
        self.number += 1
        row = int.from_bytes(hashlib.sha256(line).digest(), "big")
        self._total = (self._total + row) % _MODULUS

    def rows(self) -> Rows:
        return Rows(self.number, self._total.to_bytes(_DIGEST_BYTES, "big").hex())


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A connection all of whose reads see the same moment. Writers are not held up."""
    if engine.dialect.name == "sqlite":
        with read(engine) as conn:
            yield conn
        return
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as conn, conn.begin():
        allow_idleness(conn)
        yield conn


def tables(conn: Connection, schema: str) -> list[sa.Table]:
    """The tables to be filled, in an order in which rows refer to earlier ones only. `schema`: that
    of the work engine on PostgreSQL."""
    found = sa.MetaData()
    found.reflect(conn)
    if not is_sqlite(conn) and schema in sa.inspect(conn).get_schema_names():
        found.reflect(conn, schema=schema)
    return [table for table in found.sorted_tables if table.name not in VERSIONS]


def count(conn: Connection, schema: str) -> int:
    """The number of all rows."""
    return sum(
        conn.scalar(sa.select(sa.func.count()).select_from(table)) or 0
        for table in tables(conn, schema)
    )


def lines(conn: Connection, schema: str, sums: dict[str, Rows]) -> Iterator[bytes]:
    """All rows as lines without their ends. `sums` gets the number and the digest of each table's
    rows once they have been read. Raises Invalid for a value that is not of its column's type, and
    for a row that is too long to be read again."""
    for table in tables(conn, schema):
        columns = [_column(column) for column in table.c]
        names = [column.name for column in columns]
        yield msgspec.json.encode({"table": str(table.name), "columns": names})
        total = _Sum()
        for row in _rows(conn, table, columns):
            line = msgspec.json.encode(row)
            if len(line) >= LONGEST_LINE:  # with its end
                key = _key(table, columns, row)
                raise Invalid(f"Table {table.name}, key {key}: the row has more than 16 MiB.")
            total.add(line)
            yield line
        sums[str(table.name)] = total.rows()


def fill(
    conn: Connection, schema: str, given: Iterable[bytes], done: Callable[[int, str], None]
) -> dict[str, Rows]:
    """Put `lines` into tables that are there and empty, in the caller's transaction, and compare
    what the database then gives with what was put in. `done` is told of each table's progress.

    A table or a column that is not here is an error unless it holds nothing. Raises Invalid, which
    says what does not fit, and Conflict when the database gives something else than it was given.
    """
    allow_idleness(conn)
    known = {str(table.name): table for table in tables(conn, schema)}
    sums: dict[str, Rows] = {}
    for name, columns, rows in _sections(given):
        if name in sums:
            raise Invalid(f"Table {name} appears twice.")
        if name not in known:
            if next(rows, None) is not None:
                raise Invalid(f"Table {name} has rows, and this release has no such table.")
            continue
        kept = [position for position, column in enumerate(columns) if column in known[name].c]
        filler = _Filler(conn, known[name], columns, kept)
        for batch in _batches(rows):
            filler.add(batch)
            done(len(batch), name)
        sums[name] = filler.finish()
    if not is_sqlite(conn):
        _follow_sequences(conn, known.values())
    return sums


def _batches(rows: Iterable[list[Any]]) -> Iterator[list[list[Any]]]:
    """As many rows as are put in together: fewer where they are long."""
    batch: list[list[Any]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, str))
        if len(batch) == _BATCH or size > LONGEST_LINE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Filler:
    """Puts rows into one table. `kept`: the positions in a row of columns that the table has."""

    def __init__(
        self, conn: Connection, table: sa.Table, columns: Sequence[str], kept: Sequence[int]
    ) -> None:
        self._conn = conn
        self._table = table
        self._names = columns
        self._kept = kept
        self._columns = [_column(table.c[columns[position]]) for position in kept]
        self._sum = _Sum()
        # rows may refer to later rows of the same table
        self._later = {
            str(column.name)
            for column in table.c
            for key in column.foreign_keys
            if key.column.table is table
        }
        self._references: list[dict[str, Any]] = []

    def add(self, rows: Sequence[list[Any]]) -> None:
        """Check and insert some rows."""
        values = [self._values(row) for row in rows]
        if self._columns:
            self._execute(self._insert(), values)

    def finish(self) -> Rows:
        """Complete references within the table, and compare."""
        if self._references:
            key = sa.and_(
                *(
                    column == sa.bindparam(f"key_{column.name}")
                    for column in self._table.primary_key
                )
            )
            names = self._references[0].keys() & self._later
            new: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in names}
            given = [
                {
                    f"{'new' if name in names else 'key'}_{name}": value
                    for name, value in row.items()
                }
                for row in self._references
            ]
            self._execute(sa.update(self._table).where(key).values(new), given)
        found = _Sum()
        for row in _rows(self._conn, self._table, self._columns):
            found.add(msgspec.json.encode(row))
        if found.rows() != self._sum.rows():
            raise Conflict(
                f"Table {self._table.name}: {self._sum.number} rows were put in, and what the "
                f"database gives ({found.number} rows) is not the same."
            )
        return found.rows()

    def _values(self, row: list[Any]) -> dict[str, Any]:
        for position, value in enumerate(row):
            if position not in self._kept and value is not None:
                raise Invalid(
                    f"Table {self._table.name} has no column {self._names[position]}, which a row "
                    "has a value for."
                )
        portable = [row[position] for position in self._kept]
        values: dict[str, Any] = {}
        for position, column in enumerate(self._columns):
            try:
                if column.kind == "jsonb" and portable[position] is not None:
                    portable[position] = _canonical(portable[position])
                values[column.name] = _stored(column, portable[position], is_sqlite(self._conn))
            except (TypeError, ValueError) as error:
                raise _misfit(self._table, self._columns, portable, column, error) from None
        self._sum.add(msgspec.json.encode(portable))
        waiting = {name for name in self._later & values.keys() if values[name] is not None}
        if waiting:
            key = {column.name for column in self._table.primary_key}
            self._references.append({name: values[name] for name in key | self._later})
            values |= dict.fromkeys(waiting)
        return values

    def _insert(self) -> sa.Insert:
        light = sa.table(
            self._table.name,
            *(sa.column(c.name, _BOUND.get(c.kind, sa.Text)()) for c in self._columns),
            schema=self._table.schema,
        )
        statement = sa.insert(light)
        if is_sqlite(self._conn):
            return statement
        as_json = {
            c.name: sa.cast(sa.bindparam(c.name, type_=sa.Text), self._table.c[c.name].type)
            for c in self._columns
            if c.kind in ("json", "jsonb", "number")
        }
        plain: dict[str, Any] = {
            c.name: sa.bindparam(c.name) for c in self._columns if c.name not in as_json
        }
        return statement.values(plain | as_json)

    def _execute(self, statement: sa.Executable, values: list[dict[str, Any]]) -> None:
        try:
            self._conn.execute(statement, values)
        except sa.exc.DBAPIError as error:
            raise Invalid(f"Table {self._table.name}: {str(error.orig).strip()}") from error


_BOUND: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "boolean": sa.Boolean,
    "time": sa.DateTime,
    "integer": sa.Integer,
    "bigint": sa.BigInteger,
    "real": sa.Double,
    "bytes": sa.LargeBinary,
}


def _column(column: sa.Column[Any]) -> _Column:
    kinds: Sequence[tuple[type, str]] = (
        (sa.Boolean, "boolean"),
        (sa.DateTime, "time"),
        (postgresql.JSONB, "jsonb"),
        (sa.JSON, "json"),
        (sa.BigInteger, "bigint"),
        (sa.Integer, "integer"),
        (sa.Float, "real"),
        (sa.Numeric, "number"),
        (sa.LargeBinary, "bytes"),
        (sa.String, "text"),
    )
    for type_, kind in kinds:
        if isinstance(column.type, type_):
            return _Column(str(column.name), kind, getattr(column.type, "length", None))
    raise Invalid(f"Column {column} is of the type {column.type}, which cannot be moved.")


def _rows(conn: Connection, table: sa.Table, columns: Sequence[_Column]) -> Iterator[list[Any]]:
    """The table's rows in portable values."""
    as_text = () if is_sqlite(conn) else ("json", "jsonb", "number")
    query = sa.select(
        *(
            sa.cast(table.c[column.name], sa.Text)
            if column.kind in as_text
            else sa.type_coerce(table.c[column.name], sa.types.NullType())
            for column in columns
        )
    )
    for stored in conn.execute(query, execution_options={"yield_per": _BATCH}):
        row = list(stored)
        for position, column in enumerate(columns):
            if row[position] is not None:
                try:
                    row[position] = _portable(column.kind, row[position])
                except (TypeError, ValueError) as error:
                    raise _misfit(table, columns, list(stored), column, error) from None
        yield row


def _portable(kind: str, value: Any) -> Any:
    """Raises TypeError and ValueError for a value that is none of its kind."""
    if kind == "boolean" and value in (0, 1):
        return bool(value)
    if kind in _INTEGERS and type(value) is int:
        return value
    if kind == "real" and isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    if kind == "time" and isinstance(value, str | datetime):
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.isoformat(" ", "microseconds")
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind == "jsonb":
        return _canonical(value)
    if kind in ("text", "json", "number") and isinstance(value, str):
        return value
    raise TypeError(f"it is not of the type {kind}")


def _stored(column: _Column, value: Any, is_for_sqlite: bool) -> Any:
    """The value for the driver. Raises TypeError and ValueError when it does not fit."""
    kind = column.kind
    if value is None:
        return None
    if kind == "time":
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            raise ValueError("it is a time with a time zone")
        return moment
    if kind == "bytes":
        return base64.b64decode(value, validate=True)
    if _portable(kind, value) != value or isinstance(value, bool) != (kind == "boolean"):
        raise TypeError(f"it is not of the type {kind}")
    if kind in _INTEGERS:
        most = _INTEGERS["bigint" if is_for_sqlite else kind]
        if not -most <= value < most:
            raise ValueError("the number is too large")
    if isinstance(value, str) and not is_for_sqlite:
        if "\0" in value:
            raise ValueError("PostgreSQL stores no NUL in a text")
        if column.longest is not None and len(value) > column.longest:
            raise ValueError(f"the text is longer than {column.longest} characters")
    return value


def _canonical(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def _misfit(
    table: sa.Table,
    columns: Sequence[_Column],
    row: Sequence[Any],
    column: _Column,
    error: Exception,
) -> Invalid:
    said = "it is not base64" if isinstance(error, binascii.Error) else str(error)
    return Invalid(
        f"Table {table.name}, key {_key(table, columns, row)}, column {column.name}: {said}."
    )


def _key(table: sa.Table, columns: Sequence[_Column], row: Sequence[Any]) -> str:
    keys = {key.name for key in table.primary_key}
    found = [f"{str(v)[:100]!r}" for c, v in zip(columns, row, strict=True) if c.name in keys]
    return ", ".join(found) or "-"


def _sections(given: Iterable[bytes]) -> Iterator[tuple[str, list[str], Iterator[list[Any]]]]:
    """(table, columns, rows) for each table; the rows have to be taken before the next one."""
    waiting: list[Any] = []
    decoded = map(_decoded, given)

    def rows(head: _Head) -> Iterator[list[Any]]:
        for item in decoded:
            if isinstance(item, _Head):
                waiting.append(item)
                return
            if len(item) != len(head.columns):
                raise Invalid(f"Table {head.table}: a row has {len(item)} values.")
            yield item

    for first in decoded:
        if not isinstance(first, _Head):
            raise Invalid("The rows do not begin with the name of a table.")
        waiting.append(first)
        while waiting:
            head = waiting.pop()
            if len(set(head.columns)) != len(head.columns):
                raise Invalid(f"Table {head.table} names a column twice.")
            of_table = rows(head)
            yield head.table, head.columns, of_table
            for _ in of_table:
                raise Invalid(f"Table {head.table} was not read to its end.")


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    table: str
    columns: list[str]


_LINE: msgspec.json.Decoder[_Head | list[Any]] = msgspec.json.Decoder(
    _Head | list[str | int | float | bool | None]
)


def _decoded(line: bytes) -> _Head | list[Any]:
    try:
        return _LINE.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid(f"A row cannot be read: {error}.") from None


def _follow_sequences(conn: Connection, filled: Iterable[sa.Table]) -> None:
    """Let PostgreSQL number new rows beyond those that have been put in."""
    for table in filled:
        for column in table.primary_key:
            default = getattr(column.server_default, "arg", None)
            if default is None or "nextval(" not in str(default):
                continue
            name = f"{table.schema}.{table.name}" if table.schema else table.name
            last = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
            sequence = sa.func.pg_get_serial_sequence(name, column.name)
            conn.execute(sa.select(sa.func.setval(sequence, last, False)))
