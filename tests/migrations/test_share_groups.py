"""Revision 0030: tables for share groups, and the group of a share; none is forgotten unasked, and
the index of soft-deleted shares stays one of some rows only."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read, utcnow
from abaca.errors import Conflict

AFTER, BEFORE = "0030", "0034"
TABLES = ("share_groups", "share_group_share_type_mappings")


def rows(engine: Engine) -> list[dict[str, Any]]:
    """Of the shares."""
    with read(engine) as conn:
        table = sa.Table("shares", sa.MetaData(), autoload_with=conn)
        return [dict(row) for row in conn.execute(sa.select(table)).mappings()]


def conditions(engine: Engine) -> list[Any]:
    """Which rows the index of soft-deleted shares holds."""
    key = f"{engine.dialect.name}_where"
    return [
        str(index["dialect_options"].get(key))
        for index in sa.inspect(engine).get_indexes("shares")
        if index["column_names"] == ["scheduled_to_be_deleted_at"]
    ]


def insert(engine: Engine, table: str, **values: Any) -> None:
    with begin(engine) as conn:
        known = sa.Table(table, sa.MetaData(), autoload_with=conn)
        nothing = {
            column.name: 0 if isinstance(column.type, sa.Integer) else False
            for column in known.c
            if isinstance(column.type, sa.Integer | sa.Boolean) and not column.nullable
        }
        times = {"created_at": utcnow()} if "created_at" in known.c else {}
        conn.execute(sa.insert(known).values({**nothing, **times, **values}))


def test_groups_are_not_forgotten_unasked(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, BEFORE)
    insert(engine, "shares", id="s", project_id="p", size=1, share_proto="NFS", metadata={})
    before, index = rows(engine), conditions(engine)
    assert len(index) == 1
    assert "IS NOT NULL" in index[0]
    migrations.upgrade(engine, AFTER)
    assert rows(engine) == [row | {"share_group_id": None} for row in before]
    assert conditions(engine) == index
    insert(engine, "share_types", id="t", name="gold", is_public=True)
    insert(engine, "share_group_types", id="gt", name="pair", is_public=True)
    insert(
        engine,
        "share_groups",
        id="g",
        project_id="p",
        status="available",
        share_group_type_id="gt",
    )
    insert(engine, TABLES[1], share_group_id="g", share_type_id="t")
    insert(engine, "quota_usages", project_id="p", user_id="", share_type_id="", share_groups=1)
    with begin(engine) as conn:
        conn.execute(sa.text("UPDATE shares SET share_group_id = 'g'"))
    with pytest.raises(Conflict, match="1 share groups"):
        migrations.downgrade(engine, BEFORE)
    assert rows(engine)[0]["share_group_id"] == "g"
    migrations.downgrade(engine, BEFORE, allow_data_loss=True)
    assert rows(engine) == before
    assert conditions(engine) == index
    assert not set(TABLES) & set(sa.inspect(engine).get_table_names())
    with read(engine) as conn:
        assert conn.scalar(sa.text("SELECT share_groups FROM quota_usages")) == 0
    engine.dispose()
