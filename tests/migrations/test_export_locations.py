"""The revision that gives export locations an IP version: those that are there are told apart by
their paths, once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db import migrations
from abaca.db.session import begin, create_engine

BEFORE, AFTER = "0018", "0019"
NOW = datetime(2026, 1, 1)
PATHS = {
    "10.0.0.5:/shares/x": 4,
    "[fd00::5]:/shares/x": 6,
    "fake-admin:/x": None,
    "[fd00::6]:/shares/x": 6,
}
TABLES = {
    "share_export_locations": "share_instance_id",
    "share_snapshot_export_locations": "share_snapshot_instance_id",
}


def reflected(conn: Connection, name: str) -> sa.Table:
    return sa.Table(name, sa.MetaData(), autoload_with=conn, resolve_fks=False)


@pytest.mark.parametrize("name", TABLES)
def test_versions_of_locations_that_are_there(database_url: str, name: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, BEFORE)
    with begin(engine) as conn:
        with_owners(conn)
        table = reflected(conn, name)
        row = {
            TABLES[name]: "i",
            "position": 0,
            "preferred": True,
            "is_admin_only": False,
            "metadata": {},
            "created_at": NOW,
            "updated_at": NOW,
        }
        conn.execute(
            sa.insert(table),
            [{"id": str(number), "path": path, **row} for number, path in enumerate(PATHS)],
        )
    migrations.upgrade(engine, AFTER)
    with begin(engine) as conn:
        table = reflected(conn, name)
        assert dict(conn.execute(sa.select(table.c.path, table.c.ip_version)).all()) == PATHS
    migrations.downgrade(engine, BEFORE)
    with begin(engine) as conn:
        table = reflected(conn, name)
        assert "ip_version" not in table.c
        assert set(conn.scalars(sa.select(table.c.path))) == set(PATHS)
    engine.dispose()


def with_owners(conn: Connection) -> None:
    """A share `i` with an instance `i`, and a snapshot `i` with an instance `i`."""
    for name in (
        "share_types",
        "shares",
        "share_instances",
        "share_snapshots",
        "share_snapshot_instances",
    ):
        table = reflected(conn, name)
        conn.execute(
            sa.insert(table).values(
                {column.name: filling(column) for column in table.c if not column.nullable}
            )
        )


def filling(column: sa.Column[Any]) -> object:
    if isinstance(column.type, sa.DateTime):
        return NOW
    if isinstance(column.type, sa.JSON):
        return {}
    return "i" if isinstance(column.type, sa.String) else 1
