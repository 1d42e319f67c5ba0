"""Pooled connections: one whose server has ended it is found before it is used, so that a restart
of the database costs no request."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from abaca.db.session import Lookup, begin, create_engine, read
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
