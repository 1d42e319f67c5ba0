"""Revision 0031: snapshots of shares that are there follow the rules of their share, and there is
no silent way back from rules of snapshots' own."""

from __future__ import annotations

from datetime import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read
from abaca.errors import Conflict

NOW = datetime(2026, 1, 1)
INHERITS = "snapshot_inherit_share_access_support"
BEFORE = "0028"


def put(conn: Connection, name: str, **values: object) -> None:
    """A row; what must not be null and is not given is 0, false, empty or now."""
    table = sa.Table(name, sa.MetaData(), autoload_with=conn)
    blank: dict[type, object] = {
        sa.Boolean: False,
        sa.Integer: 0,
        sa.JSON: {},
        sa.DateTime: NOW,
        sa.String: "x",
    }
    filled = {
        column.name: next(value for kind, value in blank.items() if isinstance(column.type, kind))
        for column in table.c
        if not column.nullable and column.name not in values
    }
    conn.execute(sa.insert(table).values({**filled, **values}))


def a_mountable_snapshot(engine: Engine) -> None:
    migrations.upgrade(engine, BEFORE)
    with begin(engine) as conn:
        put(conn, "shares", id="s", mount_snapshot_support=True)
        put(conn, "share_snapshots", id="sn", share_id="s")


def test_there_and_back(database_url: str) -> None:
    engine = create_engine(database_url)
    a_mountable_snapshot(engine)
    before = rows(engine, "shares")
    migrations.upgrade(engine, "0031")
    assert rows(engine, "shares") == [row | {INHERITS: None} for row in before]
    migrations.downgrade(engine, BEFORE)
    assert rows(engine, "shares") == before
    engine.dispose()


@pytest.mark.parametrize("kind", ["a rule", "apart"])
def test_what_the_older_schema_has_nothing_for(database_url: str, kind: str) -> None:
    engine = create_engine(database_url)
    a_mountable_snapshot(engine)
    migrations.upgrade(engine, "0031")
    with begin(engine) as conn:
        if kind == "a rule":
            put(conn, "share_snapshot_access_rules", id="r", snapshot_id="sn")
        else:
            conn.execute(sa.text(f"UPDATE shares SET {INHERITS} = :no"), {"no": False})
    with pytest.raises(Conflict, match="older schema cannot hold 1"):
        migrations.downgrade(engine, BEFORE)
    assert len(rows(engine, "share_snapshot_access_rules")) == (1 if kind == "a rule" else 0)
    migrations.downgrade(engine, BEFORE, allow_data_loss=True)
    assert INHERITS not in rows(engine, "shares")[0]
    engine.dispose()


def rows(engine: Engine, name: str) -> list[dict[str, object]]:
    with read(engine) as conn:
        table = sa.Table(name, sa.MetaData(), autoload_with=conn)
        return [dict(row) for row in conn.execute(sa.select(table)).mappings()]
