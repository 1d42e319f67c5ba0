"""Revision 0069: where share servers of shared back ends stand, and the workers of those."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, utcnow

COLUMNS = {"worker_host", "is_moving", "generation", "move_reason"}


def test_they_come_and_go_with_rows(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0065")
    with begin(engine) as conn:
        tables = {
            name: sa.Table(name, sa.MetaData(), autoload_with=conn)
            for name in ("availability_zones", "services", "share_networks", "share_servers")
        }
        now = utcnow()
        rows: dict[str, dict[str, object]] = {
            "availability_zones": {"name": "z"},
            "services": {
                "id": 1,
                "host": "h@b",
                "worker_host": "h",
                "binary": "manila-share",
                "availability_zone_id": "id",
                "expires_at": now,
            },
            "share_networks": {"project_id": "p", "user_id": "u", "status": "active"},
            "share_servers": {
                "share_network_id": "id",
                "project_id": "p",
                "host": "h@b",
                "status": "active",
            },
        }
        for name, row in rows.items():
            conn.execute(sa.insert(tables[name]).values(filled(tables[name], row, now)))
    migrations.upgrade(engine, "0069")
    with begin(engine) as conn:
        servers = sa.Table("share_servers", sa.MetaData(), autoload_with=conn)
        (server,) = conn.execute(sa.select(servers)).all()
        assert (server.worker_host, server.is_moving, server.generation) == (None, False, 0)
        services = sa.Table("services", sa.MetaData(), autoload_with=conn)
        assert conn.execute(sa.select(services.c.is_shared)).scalar_one() is False
        conn.execute(sa.update(servers).values(worker_host="h", is_moving=True, generation=2))
    migrations.downgrade(engine, "0065")
    inspector = sa.inspect(engine)
    assert not inspector.has_table("service_workers")
    assert not COLUMNS & {column["name"] for column in inspector.get_columns("share_servers")}
    with begin(engine) as conn:
        old = sa.Table("share_servers", sa.MetaData(), autoload_with=conn)
        assert conn.execute(sa.select(old.c.host)).scalar_one() == "h@b"
    engine.dispose()


def filled(table: sa.Table, row: dict[str, object], now: object) -> dict[str, object]:
    """The row with something in every column that must have it."""
    empty: dict[type, object] = {str: "id", int: 0, bool: False}
    return {
        column.name: row.get(
            column.name,
            now if isinstance(column.type, sa.DateTime) else empty.get(column.type.python_type),
        )
        for column in table.columns
        if column.name in row or not column.nullable
    }
