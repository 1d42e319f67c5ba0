"""Revisions 0009 and 0010: services that are there are not being looked after, and keep what they
have on the way back."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read

ROWS = (
    "INSERT INTO availability_zones (id, name, created_at) VALUES ('z', 'nova', :now)",
    'INSERT INTO services (host, worker_host, "binary", availability_zone_id, disabled, is_ready, '
    "network_allocations_number, "
    "network_allocation_update_support, security_service_update_support, expires_at, created_at) "
    "VALUES ('h@b', 'h', 'manila-share', 'z', :yes, :yes, 1, :yes, :yes, :now, :now)",
)

ROWS_OF_0015 = (
    ROWS[0],
    ROWS[1]
    .replace("is_ready,", "is_ready, ensuring, unserved_share_servers,")
    .replace(":yes, :yes, 1", ":yes, :yes, :no, 0, 1"),
)


def test_services_that_are_there(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0008")
    with begin(engine) as conn:
        for statement in ROWS:
            conn.execute(sa.text(statement), {"yes": True, "now": datetime(2026, 1, 1)})
    migrations.upgrade(engine, "0009")
    with read(engine) as conn:
        table = sa.Table("services", sa.MetaData(), autoload_with=conn)
        assert conn.execute(
            sa.select(
                *[table.c[name] for name in ("host", "disabled", "ensuring", "disabled_reason")]
            )
        ).all() == [("h@b", True, False, None)]
    migrations.downgrade(engine, "0008")
    with read(engine) as conn:
        table = sa.Table("services", sa.MetaData(), autoload_with=conn)
        assert not {"ensuring", "disabled_reason"} & set(table.c.keys())
        assert conn.execute(sa.select(table.c.host, table.c.disabled)).all() == [("h@b", True)]
    engine.dispose()


def test_services_that_are_there_have_restarted_nothing_and_told_no_usage(
    database_url: str,
) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0015")
    with begin(engine) as conn:
        for statement in ROWS_OF_0015:
            conn.execute(
                sa.text(statement), {"yes": True, "no": False, "now": datetime(2026, 1, 1)}
            )
    migrations.upgrade(engine, "0016")
    with begin(engine) as conn:
        table = sa.Table("services", sa.MetaData(), autoload_with=conn)
        assert conn.execute(
            sa.select(table.c.host, table.c.share_server_restarts, table.c.usage_measured_at)
        ).all() == [("h@b", 0, None)]
        conn.execute(
            sa.text(
                "INSERT INTO share_usages (share_instance_id, service_host, used_bytes) VALUES "
                "('i', 'h@b', 9000000000)"
            )
        )
    migrations.downgrade(engine, "0015")
    with read(engine) as conn:
        table = sa.Table("services", sa.MetaData(), autoload_with=conn)
        assert not {"share_server_restarts", "usage_measured_at"} & set(table.c.keys())
        assert conn.execute(sa.select(table.c.host, table.c.disabled)).all() == [("h@b", True)]
        assert not sa.inspect(conn).has_table("share_usages")
    migrations.upgrade(engine, "0016")
    engine.dispose()


def test_services_that_are_there_have_no_servers_that_serve_nobody(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0008")
    with begin(engine) as conn:
        for statement in ROWS:
            conn.execute(sa.text(statement), {"yes": True, "now": datetime(2026, 1, 1)})
    migrations.upgrade(engine, "0010")
    with read(engine) as conn:
        table = sa.Table("services", sa.MetaData(), autoload_with=conn)
        assert conn.execute(sa.select(table.c.host, table.c.unserved_share_servers)).all() == [
            ("h@b", 0)
        ]
    migrations.downgrade(engine, "0009")
    with read(engine) as conn:
        assert (
            "unserved_share_servers"
            not in sa.Table("services", sa.MetaData(), autoload_with=conn).c
        )
    engine.dispose()
