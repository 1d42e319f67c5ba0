"""Revision 0070: what hosts are taken for dead by."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, utcnow
from tests.migrations.test_servers_that_move import filled


def test_it_comes_and_goes_with_rows(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0069")
    now = utcnow()
    with begin(engine) as conn:
        workers = sa.Table("service_workers", sa.MetaData(), autoload_with=conn)
        row: dict[str, object] = {"service_host": "c@b", "worker_host": "h"}
        conn.execute(sa.insert(workers).values(filled(workers, row, now)))
        hosts = sa.Table("hosts", sa.MetaData(), autoload_with=conn)
        conn.execute(sa.insert(hosts).values(filled(hosts, {"name": "h", "state": "fenced"}, now)))
    migrations.upgrade(engine, "0070")
    with begin(engine) as conn:
        workers = sa.Table("service_workers", sa.MetaData(), autoload_with=conn)
        hosts = sa.Table("hosts", sa.MetaData(), autoload_with=conn)
        assert conn.execute(sa.select(workers.c.reached_at)).scalar_one() is None
        there = conn.execute(sa.select(hosts)).one()
        assert (there.failed_over_at, there.failover_refusal) == (None, None)
        conn.execute(sa.update(workers).values(reached_at="storage 10.0.0.1"))
        conn.execute(sa.update(hosts).values(failed_over_at=now, failover_refusal="it answers"))
    migrations.downgrade(engine, "0069")
    columns = sa.inspect(engine).get_columns
    assert "reached_at" not in {column["name"] for column in columns("service_workers")}
    assert not {"failed_over_at", "failover_refusal"} & {
        column["name"] for column in columns("hosts")
    }
    with begin(engine) as conn:
        hosts = sa.Table("hosts", sa.MetaData(), autoload_with=conn)
        assert conn.execute(sa.select(hosts.c.state)).scalar_one() == "fenced"
    engine.dispose()
