"""Revision 0004: what is there is counted."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read

NOW = datetime(2026, 1, 1)


def add(conn: sa.Connection, table: str, **values: object) -> None:
    known = sa.Table(table, sa.MetaData(), autoload_with=conn)
    filled = {c.name: False for c in known.c if not c.nullable and isinstance(c.type, sa.Boolean)}
    conn.execute(sa.insert(known).values(**{**filled, "created_at": NOW, **values}))


def test_what_is_there_is_counted(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0003")
    with begin(engine) as conn:
        add(conn, "share_types", id="gold", name="gold")
        for number, (project, user) in enumerate(
            [("red", "alice"), ("red", "bob"), ("red", None), ("blue", "carl")]
        ):
            add(
                conn,
                "share_networks",
                id=f"net{number}",
                project_id=project,
                user_id=user,
                status="active",
                is_deleting=number == 1,
            )
            add(
                conn,
                "shares",
                id=f"s{number}",
                project_id=project,
                user_id=user,
                size=number + 1,
                share_proto="NFS",
                metadata={},
            )
            add(
                conn,
                "share_instances",
                id=f"i{number}",
                share_id=f"s{number}",
                share_type_id="gold",
                status="error",
                access_rules_status="active",
            )
    migrations.upgrade(engine, "0004")
    with read(engine) as conn:
        usages = sa.Table("quota_usages", sa.MetaData(), autoload_with=conn)
        columns = [
            usages.c[n]
            for n in (
                "project_id",
                "user_id",
                "share_type_id",
                "shares",
                "gigabytes",
                "share_networks",
            )
        ]
        assert sorted(tuple(row) for row in conn.execute(sa.select(*columns))) == [
            ("blue", "", "", 1, 4, 1),
            ("blue", "", "gold", 1, 4, 0),
            ("blue", "carl", "", 1, 4, 1),
            ("red", "", "", 3, 6, 2),
            ("red", "", "gold", 3, 6, 0),
            ("red", "alice", "", 1, 1, 1),
            ("red", "bob", "", 1, 2, 0),
        ]
    migrations.downgrade(engine, "0003")
    with read(engine) as conn:
        assert not {"quotas", "quota_classes", "quota_usages"} & set(
            sa.inspect(conn).get_table_names()
        )
        assert conn.scalar(sa.text("SELECT count(*) FROM shares")) == 4
    engine.dispose()
