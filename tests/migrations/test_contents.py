"""All rows of a database, out of one and into another: of both kinds, to and fro, and what does
not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db import contents
from abaca.db.session import begin, create_engine, read
from abaca.db.tables import resource_locks, services
from abaca.errors import Invalid
from abaca.workflow.queue import SCHEMA
from tests import generated_rows
from tests.databases import Databases
from tests.stack import initialise

pytestmark = pytest.mark.sampled(4)


def nobody(_number: int, _table: str) -> None:
    """Nobody is told of progress."""


def taken(engine: Engine) -> tuple[list[bytes], dict[str, contents.Rows]]:
    sums: dict[str, contents.Rows] = {}
    with contents.snapshot(engine) as conn:
        return list(contents.lines(conn, SCHEMA, sums)), sums


def put(engine: Engine, lines: list[bytes]) -> dict[str, contents.Rows]:
    with begin(engine) as conn:
        return contents.fill(conn, SCHEMA, lines, nobody)


@contextmanager
def opened(databases: Databases) -> Iterator[Engine]:
    url = databases.create_from(initialise)
    engine = create_engine(url, pool_size=1)
    try:
        yield engine
    finally:
        engine.dispose()
        databases.drop(url)


def test_a_row_of_every_table_goes_to_the_other_database_and_back(
    sqlite_databases: Databases, postgresql_databases: Databases
) -> None:
    with (
        opened(sqlite_databases) as first,
        opened(postgresql_databases) as second,
        opened(sqlite_databases) as third,
    ):
        with begin(first) as conn:
            filled = generated_rows.fill(conn)
        lines, sums = taken(first)
        assert {rows.number for rows in sums.values()} == {generated_rows.NUMBER}
        assert sums.keys() == {table.name for table in filled}
        assert put(second, lines) == sums
        moved, moved_sums = taken(second)
        # a table that only the work engine on PostgreSQL has, which is empty
        assert {name: moved_sums[name] for name in sums} == sums
        assert put(third, moved) == sums
        assert sorted(taken(third)[0]) == sorted(lines)
        with read(third) as conn:
            found = conn.execute(sa.select(resource_locks)).all()
            assert len(found) == generated_rows.NUMBER
        # new rows are numbered beyond those that were put in
        with begin(second) as conn:
            row = conn.execute(sa.select(services)).mappings().first()
            assert row is not None
            new = {name: value for name, value in row.items() if name != "id"} | {"host": "new"}
            assert conn.execute(sa.insert(services).values(**new)).inserted_primary_key == (3,)


@pytest.fixture
def engine(template_database: Callable[..., str]) -> Iterator[Engine]:
    made = create_engine(template_database(initialise), pool_size=1)
    yield made
    made.dispose()


def head(table: str, *columns: str) -> bytes:
    return msgspec.json.encode({"table": table, "columns": list(columns)})


def row(*values: object) -> bytes:
    return msgspec.json.encode(values)


POOL = ("pools", "host", "service_host", "stats", "allocated_capacity_gb", "updated_at")
TIME = "2026-01-01 00:00:00.000000"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([row("a")], "do not begin with the name of a table"),
        ([b"{"], "cannot be read"),
        ([b"[" * 100_000], "cannot be read"),
        ([b'{"table": 7, "columns": []}'], "cannot be read"),
        ([head("nowhere", "a"), row(1)], "Table nowhere has rows"),
        ([head(*POOL), head(*POOL)], "Table pools appears twice"),
        ([head("pools", "host", "host")], "names a column twice"),
        ([head(*POOL), row("h")], "a row has 1 values"),
        ([head(*POOL), row("h", "s", ["{}"], 1, TIME)], "cannot be read"),
        ([head("pools", "host", "x"), row("h", 1)], "Table pools has no column x"),
        ([head(*POOL), row("h", "s", "{}", 2**63, TIME)], "column allocated_capacity_gb: the num"),
        ([head(*POOL), row("h", "s", "{}", "7", TIME)], "column allocated_capacity_gb: it is no"),
        ([head(*POOL), row("h", "s", "{}", True, TIME)], "column allocated_capacity_gb: it is no"),
        ([head(*POOL), row("h", "s", "{}", 1, "soon")], "key '?'h'?.*column updated_at: Invalid"),
        ([head(*POOL), row("h", "s", "{}", 1, TIME + "+01:00")], "with a time zone"),
        ([head(*POOL), row("h", "s", "{}", 1, 7)], "column updated_at"),
        ([head(*POOL), row("h", None, "{}", 1, TIME)], "Table pools: .*(NOT NULL|null)"),
        ([head(*POOL), *[row("h", "s", "{}", 1, TIME)] * 2], "Table pools: .*(UNIQUE|unique)"),
        ([head("services", "availability_zone_id"), row("z")], "Table services: "),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_stays(
    engine: Engine, lines: list[bytes], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        put(engine, lines)
    with read(engine) as conn:
        assert contents.count(conn, SCHEMA) == 0


def test_empty_tables_and_columns_that_are_not_here_are_left_out(engine: Engine) -> None:
    put(engine, [head("nowhere", "a"), head("pools", "host", "x")])
    more = [head(*POOL, "x"), row("h", "s", "{}", 1, TIME, None)]
    assert put(engine, more)["pools"].number == 1


@pytest.mark.parametrize("text", ["a\0b"])
def test_a_text_with_a_nul_is_refused_where_it_cannot_be(engine: Engine, text: str) -> None:
    lines = [head(*POOL), row(text, "s", "{}", 1, TIME)]
    if engine.dialect.name == "sqlite":
        put(engine, lines)
        return
    with pytest.raises(Invalid, match="column host: PostgreSQL stores no NUL"):
        put(engine, lines)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("stats", b"\xff"),
        ("allocated_capacity_gb", "many"),
        ("updated_at", "soon"),
        ("updated_at", 7),
    ],
)
def test_values_of_another_type_are_named_when_sqlite_is_read(
    tmp_path: Path, sqlite_databases: Databases, column: str, value: object
) -> None:
    """As whoever has taken the API process over could write them: SQLite stores anything."""
    with opened(sqlite_databases) as engine:
        with begin(engine) as conn:
            good = dict(zip(POOL[1:], ("h", "s", "{}", 1, TIME), strict=True)) | {column: value}
            text = ", ".join(f":{name}" for name in good)
            conn.execute(sa.text(f"INSERT INTO pools ({', '.join(good)}) VALUES ({text})"), good)
        with pytest.raises(Invalid, match=rf"Table pools, key '?'h'.*column {column}"):
            taken(engine)


def test_a_row_that_could_not_be_put_in_again_is_named(sqlite_databases: Databases) -> None:
    """Not only when the backup that holds it is all that is left."""
    with opened(sqlite_databases) as engine:
        with begin(engine) as conn:
            text = sa.text("INSERT INTO pools VALUES ('h', 's', :stats, 1, :time)")
            conn.execute(text, {"stats": "x" * contents.LONGEST_LINE, "time": TIME})
        with pytest.raises(Invalid, match=r"Table pools, key '?'h'.*more than 16 MiB"):
            taken(engine)


def test_long_rows_are_put_in_a_few_at_a_time(engine: Engine) -> None:
    """However many there are: an archive may be anybody's."""
    numbers: list[int] = []
    text = f'"{"x" * (contents.LONGEST_LINE // 2)}"'
    lines = [row(str(number), "s", text, 1, TIME) for number in range(5)]
    with begin(engine) as conn:
        contents.fill(conn, SCHEMA, [head(*POOL), *lines], lambda number, _: numbers.append(number))
    assert sum(numbers) == 5 and max(numbers) < 5


def test_a_snapshot_holds_no_writer_up_and_does_not_see_it(engine: Engine) -> None:
    writer = create_engine(engine.url.render_as_string(hide_password=False), pool_size=1)
    values = dict(zip(POOL[1:], ("h", "s", {}, 1, generated_rows.NOW), strict=True))
    with contents.snapshot(engine) as conn:
        assert contents.count(conn, SCHEMA) == 0
        with begin(writer) as other:
            table = sa.Table("pools", sa.MetaData(), autoload_with=other)
            other.execute(sa.insert(table).values(**values))
        assert contents.count(conn, SCHEMA) == 0
    with contents.snapshot(engine) as conn:
        assert contents.count(conn, SCHEMA) == 1
    writer.dispose()
