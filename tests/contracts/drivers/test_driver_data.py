"""The store that drivers are given: one suite for the one in memory, which ships for tests, and the
one in the database."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from abaca.db.session import begin, create_engine
from abaca.db.tables import driver_data
from abaca.domain.services.driver_data import SqlDriverData
from abaca.drivers import data
from abaca.drivers.data import DriverData, MemoryDriverData
from abaca.errors import Refused, Unavailable
from tests.databases import Initialise
from tests.stack import initialise

HOST = "host1@alpha"


@pytest.fixture
def url(template_database: Callable[[Initialise], str]) -> str:
    return template_database(initialise)


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    made = create_engine(url)
    yield made
    made.dispose()


@pytest.fixture(params=["memory", "database"])
def store(request: pytest.FixtureRequest, engine: sa.Engine) -> DriverData:
    return MemoryDriverData() if request.param == "memory" else SqlDriverData(engine, HOST)


def test_values_are_kept_changed_and_forgotten(store: DriverData) -> None:
    assert store.get("server") == {}
    store.update("server", {"name": "os_1", "port": "7", "größe": "§"})
    store.update("other", {"name": "os_2"})
    store.update("server", {"name": "os_3", "port": None, "never there": None})
    assert store.get("server") == {"name": "os_3", "größe": "§"}
    store.update("server", {})
    assert store.get("server") == {"name": "os_3", "größe": "§"}
    for _ in range(2):
        store.remove("server")
    assert (store.get("server"), store.get("other")) == ({}, {"name": "os_2"})


@pytest.mark.parametrize(
    ("subject", "values"),
    [
        ("", {"k": "v"}),
        ("s" * (data.MOST_NAME + 1), {"k": "v"}),
        ("a\0b", {"k": "v"}),
        ("s", {"": "v"}),
        ("s", {"k" * (data.MOST_NAME + 1): "v"}),
        ("s", {"k\0": None}),
        ("s", {"k": "a\0b"}),
        ("s", {"k": "ü" * (data.MOST_VALUE // 2 + 1)}),
        ("s", {f"k{n}": "v" for n in range(data.MOST_KEYS + 1)}),
    ],
)
def test_what_is_beyond_the_bounds_is_refused_and_nothing_of_it_kept(
    store: DriverData, subject: str, values: dict[str, str | None]
) -> None:
    store.update("s", {"before": "1"})
    with pytest.raises(Refused, match="A driver can"):
        store.update(subject, {"good": "1", **values})
    assert store.get("s") == {"before": "1"}


def test_what_is_just_within_the_bounds_is_kept(store: DriverData) -> None:
    subject, value = "s" * data.MOST_NAME, "ü" * (data.MOST_VALUE // 2)
    wanted: dict[str, str | None] = {
        f"{n:03}" + "k" * (data.MOST_NAME - 3): value for n in range(data.MOST_KEYS)
    }
    store.update(subject, wanted)
    assert store.get(subject) == wanted


@pytest.mark.parametrize("kind", ["memory", "database"])
def test_a_back_end_has_a_number_of_values_only(engine: sa.Engine, kind: str) -> None:
    store: DriverData = (
        MemoryDriverData(most_values=3)
        if kind == "memory"
        else SqlDriverData(engine, HOST, most_values=3)
    )
    for subject in ("a", "b", "c"):
        store.update(subject, {"k": "v"})
    with pytest.raises(Refused, match="remove some first"):
        store.update("d", {"k": "v"})
    store.update("c", {"k": "another"})
    store.remove("a")
    store.update("d", {"k": "v"})
    assert [store.get(subject) for subject in ("a", "c", "d")] == [{}, {"k": "another"}, {"k": "v"}]


def test_threads_keep_beside_each_other(store: DriverData) -> None:
    def keep(number: int) -> None:
        store.update("shared", {f"k{number % 10}": str(number)})
        store.update(f"own {number}", {"k": "v"})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(keep, range(40)))
    assert sorted(store.get("shared")) == [f"k{n}" for n in range(10)]
    assert all(store.get(f"own {number}") == {"k": "v"} for number in range(40))


def test_back_ends_do_not_see_each_others(engine: sa.Engine) -> None:
    here, there = SqlDriverData(engine, HOST), SqlDriverData(engine, "host1@beta")
    here.update("s", {"k": "here"})
    there.update("s", {"k": "there"})
    there.remove("s")
    assert (here.get("s"), there.get("s")) == ({"k": "here"}, {})


def test_what_was_put_there_past_the_bounds_is_not_read(engine: sa.Engine) -> None:
    """Whoever may write to the database cannot have a worker read without end."""
    with begin(engine) as conn:
        row = {"service_host": HOST, "subject": "s"}
        conn.execute(
            sa.insert(driver_data), [{**row, "key": "large", "value": "x" * (data.MOST_VALUE + 1)}]
        )
        conn.execute(
            sa.insert(driver_data),
            [{**row, "key": f"k{n:04}", "value": "v"} for n in range(data.MOST_KEYS + 50)],
        )
    assert list(SqlDriverData(engine, HOST).get("s")) == [f"k{n:04}" for n in range(data.MOST_KEYS)]


def _keep_and_die(url: str) -> None:
    store = SqlDriverData(create_engine(url), HOST)
    store.update("s", {"k": "kept", "gone": "1"})
    store.update("s", {"gone": None})
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_kept_outlives_a_kill(url: str, engine: sa.Engine) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_keep_and_die, args=(url,))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert SqlDriverData(engine, HOST).get("s") == {"k": "kept"}


def test_a_database_that_is_away_is_unavailable() -> None:
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    store = SqlDriverData(engine, HOST)
    with pytest.raises(Unavailable):
        store.get("s")
    with pytest.raises(Unavailable):
        store.update("s", {"k": "v"})
    with pytest.raises(Unavailable):
        store.remove("s")
    engine.dispose()
