"""Pooled connections: one whose server has ended it is found before it is used, so that a restart
of the database costs no request; and one that is not used in the middle of a transaction keeps its
locks for seconds only."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from abaca.db.session import Lookup, allow_idleness, begin, create_engine, is_outage, read
from tests.databases import Databases
from tests.stack import wait_for


def test_connections_that_the_server_ended_are_replaced(postgresql_databases: Databases) -> None:
    url = postgresql_databases.create()
    engine, killer = create_engine(url), create_engine(url)
    with begin(engine) as first, begin(engine) as second:
        ended = [conn.scalar(sa.text("SELECT pg_backend_pid()")) for conn in (first, second)]
    with read(killer) as conn:
        assert all(
            conn.scalar(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid}) for pid in ended
        )
        left = sa.text("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(:pids)")
        wait_for(lambda: conn.scalar(left, {"pids": ended}) == 0)
    with begin(engine) as conn:
        assert conn.scalar(sa.text("SELECT pg_backend_pid()")) not in ended
    with read(engine) as conn:
        assert conn.scalar(sa.text("SELECT pg_backend_pid()")) not in ended
    engine.dispose()
    killer.dispose()
    postgresql_databases.drop(url)


def test_a_lookup_is_told_of_an_outage_as_any_query(postgresql_databases: Databases) -> None:
    url = postgresql_databases.create()
    engine, killer = create_engine(url), create_engine(url)
    mine = Lookup(sa.select(sa.func.pg_backend_pid(), sa.bindparam("name", type_=sa.String)))
    with read(engine) as conn:
        pid, name = mine.first(conn, {"name": "x"}) or (0, "")
        assert pid == conn.scalar(sa.text("SELECT pg_backend_pid()")) and name == "x"
        with begin(killer) as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        with pytest.raises(OperationalError):
            mine.first(conn, {"name": "x"})
    with read(engine) as conn:
        assert (mine.first(conn, {"name": "x"}) or (pid,))[0] != pid
    engine.dispose()
    killer.dispose()
    postgresql_databases.drop(url)


_ONE = sa.text("SELECT 1")
_HELD = sa.text("SELECT pg_advisory_xact_lock(7)")
_IS_FREE = sa.text("SELECT pg_try_advisory_lock(7)")


@pytest.fixture
def hasty(postgresql_databases: Databases) -> Iterator[tuple[Engine, Engine]]:
    """Two engines whose transactions may be idle for half a second."""
    url = postgresql_databases.create()
    engines = create_engine(url, idle_seconds=0.5), create_engine(url, idle_seconds=0.5)
    yield engines
    for engine in engines:
        engine.dispose()
    postgresql_databases.drop(url)


@pytest.mark.parametrize("by", ["a statement", "its commit", "a lookup"])
def test_a_transaction_that_stands_still_gives_its_locks_back(
    hasty: tuple[Engine, Engine], by: str
) -> None:
    """As of a host that has died in it, or a worker that is held up."""
    stands, other = hasty
    lookup = Lookup(sa.select(sa.literal(1)))

    def go_on() -> None:
        with begin(stands) as conn:
            conn.execute(_HELD)
            with read(other) as watching:
                wait_for(lambda: watching.scalar(_IS_FREE))
            if by == "a statement":
                conn.execute(_ONE)
            elif by == "a lookup":
                lookup.first(conn, {})

    with pytest.raises(OperationalError) as raised:
        go_on()
    assert is_outage(raised.value)
    with begin(stands) as conn:
        assert conn.scalar(_ONE) == 1, "the next one has a sound connection"


def test_one_that_waits_for_a_pipe_may(hasty: tuple[Engine, Engine]) -> None:
    stands, other = hasty
    with begin(stands) as conn:
        allow_idleness(conn)
        conn.execute(_HELD)
        with read(other) as watching:
            watching.execute(sa.text("SELECT pg_sleep(1)"))
            assert not watching.scalar(_IS_FREE)
        assert conn.scalar(_ONE) == 1
    with read(other) as watching:
        assert watching.scalar(_IS_FREE)


def test_a_database_whose_machine_dies_is_found_dead(postgresql_databases: Databases) -> None:
    """In place of two hours, as Linux and libpq have it; unless the URL says something else."""
    url = postgresql_databases.create()
    own = sa.make_url(url).update_query_dict({"tcp_user_timeout": "7000"})
    for given, patience in ((url, 25_000), (own.render_as_string(hide_password=False), 7_000)):
        engine = create_engine(given)
        with read(engine) as conn, socket.socket(fileno=_descriptor(conn)) as link:
            assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
            assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == patience
        engine.dispose()
    postgresql_databases.drop(url)


def _descriptor(conn: sa.Connection) -> int:
    """A copy of the connection's."""
    driver = conn.connection.driver_connection
    assert driver
    return os.dup(driver.fileno())
