"""Revision 0020: nothing that is there can give subnets up, or is doing so; going back loses no
row."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from abaca.db import migrations
from abaca.db.session import begin, create_engine
from tests.migrations.test_export_locations import filling, reflected

BEFORE, AFTER = "0019", "0020"
SUPPORT = "share_server_subnet_removal_support"
COLUMNS = {
    "services": SUPPORT,
    "share_servers": SUPPORT,
    "share_server_share_network_subnet_mappings": "is_leaving",
}


def with_a_server(conn: Connection) -> None:
    """A service, and a share server on a subnet."""
    for name in (
        "availability_zones",
        "services",
        "share_networks",
        "share_network_subnets",
        *list(COLUMNS)[1:],
    ):
        table = reflected(conn, name)
        values = {column.name: filling(column) for column in table.c if not column.nullable}
        conn.execute(sa.insert(table).values(values))


def flags(engine: Engine) -> dict[str, list[bool]]:
    with begin(engine) as conn:
        return {
            name: list(conn.scalars(sa.select(reflected(conn, name).c[column])))
            for name, column in COLUMNS.items()
        }


def test_nothing_that_is_there_gives_subnets_up(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, BEFORE)
    with begin(engine) as conn:
        with_a_server(conn)
    migrations.upgrade(engine, AFTER)
    assert flags(engine) == {name: [False] for name in COLUMNS}
    with begin(engine) as conn:
        for name, column in COLUMNS.items():
            conn.execute(sa.update(reflected(conn, name)).values({column: True}))
    migrations.downgrade(engine, BEFORE)
    with begin(engine) as conn:
        for name, column in COLUMNS.items():
            table = reflected(conn, name)
            assert column not in table.c
            assert len(conn.execute(sa.select(table)).all()) == 1
    migrations.upgrade(engine, AFTER)
    assert flags(engine) == {name: [False] for name in COLUMNS}, "what it was is forgotten"
    engine.dispose()
