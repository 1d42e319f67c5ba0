"""The schema's history: its end equals the tables in code, and processes that migrate at once do
not disturb each other."""

from __future__ import annotations

import multiprocessing

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read
from abaca.db.tables import metadata
from abaca.errors import Conflict


def differences(url: str) -> list[object]:
    engine = create_engine(url)
    with read(engine) as conn:
        found = compare_metadata(MigrationContext.configure(conn), metadata)
    engine.dispose()
    return list(found)


def table_names(url: str) -> set[str]:
    engine = create_engine(url)
    names = set(sa.inspect(engine).get_table_names())
    engine.dispose()
    return names


def test_the_head_is_the_schema_in_code(database_url: str) -> None:
    assert migrations.current(database_url) is None
    migrations.upgrade(database_url)
    assert migrations.current(database_url) == migrations.head()
    assert differences(database_url) == []


def test_the_comparison_sees_a_difference(database_url: str) -> None:
    migrations.upgrade(database_url, "0001")
    assert differences(database_url) != []


def test_down_to_nothing_and_up_again(database_url: str) -> None:
    migrations.upgrade(database_url)
    migrations.downgrade(database_url, "base")
    assert table_names(database_url) <= {"alembic_version"}
    assert migrations.current(database_url) is None
    migrations.upgrade(database_url)
    assert differences(database_url) == []


def test_an_upgrade_of_the_head_does_nothing(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine)
    migrations.upgrade(engine)
    assert migrations.current(engine) == migrations.head()
    engine.dispose()


def test_foreign_keys_hold_after_a_migration(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)
    migrations.upgrade(engine)
    with engine.connect() as conn:
        if engine.dialect.name == "sqlite":
            assert conn.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
    engine.dispose()


def test_processes_that_upgrade_at_once(database_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=migrations.upgrade, args=(database_url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert differences(database_url) == []


@pytest.mark.parametrize("revisions", [["9999"], ["0001", "0002"]])
def test_a_schema_that_is_not_known_is_not_upgraded(
    database_url: str, revisions: list[str]
) -> None:
    """Of a newer release, or of whoever has taken the API over."""
    migrations.upgrade(database_url)
    engine = create_engine(database_url)
    with begin(engine) as conn:
        conn.exec_driver_sql("DELETE FROM alembic_version")
        for revision in revisions:
            conn.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{revision}')")
    engine.dispose()
    with pytest.raises(Conflict, match="cannot upgrade the database"):
        migrations.upgrade(database_url)


def test_an_older_schema_is_refused_and_a_newer_one_is_not(database_url: str) -> None:
    revisions = migrations.revisions()
    with pytest.raises(Conflict, match="no tables"):
        migrations.refuse_older(database_url, revisions)
    migrations.upgrade(database_url, revisions[1])
    with pytest.raises(
        Conflict, match=f"revision {revisions[1]}, this release needs {revisions[0]}"
    ):
        migrations.refuse_older(database_url, revisions)
    migrations.upgrade(database_url)
    migrations.refuse_older(database_url, revisions)
    migrations.refuse_older(database_url, revisions[1:])
