"""The database fixtures keep their word: fresh each time, copies of a template, apart from each
other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from tests.databases import Databases, Initialise

initialised: list[str] = []


def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            results = [connection.execute(sa.text(statement)) for statement in statements]
            return [tuple(row) for row in results[-1]] if results[-1].returns_rows else []
    finally:
        engine.dispose()


def initialise(url: str) -> None:
    initialised.append(url)
    run(
        url,
        "CREATE TABLE shares (id VARCHAR(36))",
        "INSERT INTO shares VALUES ('from the template')",
    )


def test_a_database_is_empty_and_of_the_kind_asked_for(
    database_url: str, database_kind: str
) -> None:
    engine = sa.create_engine(database_url)
    assert engine.dialect.name == database_kind
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


def test_copies_of_a_template_are_apart(template_database: Callable[[Initialise], str]) -> None:
    first, second = template_database(initialise), template_database(initialise)
    run(first, "INSERT INTO shares VALUES ('only here')")
    assert run(second, "SELECT id FROM shares") == [("from the template",)]
    assert len(run(first, "SELECT id FROM shares")) == 2


def test_a_template_is_made_once(
    template_database: Callable[[Initialise], str], databases: Databases
) -> None:
    made_before = len(initialised)
    template_database(initialise)
    again = len(initialised)
    assert databases.create_from(initialise) and len(initialised) == again <= made_before + 1


def test_a_database_goes_though_somebody_is_connected(databases: Databases) -> None:
    url = databases.create_from(initialise)
    engine = sa.create_engine(url)
    connection = engine.connect()
    databases.drop(url)
    connection.invalidate()
    engine.dispose()
    with pytest.raises(sa.exc.OperationalError):
        run(url, "SELECT id FROM shares")
