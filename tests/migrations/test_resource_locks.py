"""Revision 0015: a table for locks, which is not taken away while it holds some."""

from __future__ import annotations

from datetime import datetime

import pytest
import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read
from abaca.errors import Conflict

NOW = datetime(2026, 1, 1)


def test_locks_are_not_lost_unasked(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0014")
    with begin(engine) as conn:
        table = sa.Table("shares", sa.MetaData(), autoload_with=conn)
        filled = {
            c.name: False for c in table.c if not c.nullable and isinstance(c.type, sa.Boolean)
        }
        conn.execute(
            sa.insert(table).values(
                id="s",
                project_id="red",
                size=1,
                share_proto="NFS",
                metadata={},
                created_at=NOW,
                **filled,
            )
        )
    migrations.upgrade(engine, "0015")
    migrations.downgrade(engine, "0014")
    migrations.upgrade(engine, "0015")
    with begin(engine) as conn:
        locks = sa.Table("resource_locks", sa.MetaData(), autoload_with=conn)
        lock = {
            "id": "l",
            "project_id": "red",
            "user_id": "alice",
            "lock_context": "user",
            "resource_action": "delete",
            "created_at": NOW,
        }
        conn.execute(sa.insert(locks).values(share_id="s", **lock))
    for wrong in ({}, {"share_id": "s", "access_rule_id": "r"}, {"share_id": "no-such-share"}):
        with pytest.raises(sa.exc.IntegrityError), begin(engine) as conn:
            conn.execute(sa.insert(locks).values(**lock | {"id": "other"} | wrong))
    with pytest.raises(Conflict, match="There are 1 resource locks"):
        migrations.downgrade(engine, "0014")
    migrations.downgrade(engine, "0014", allow_data_loss=True)
    with read(engine) as conn:
        assert "resource_locks" not in sa.inspect(conn).get_table_names()
        assert conn.scalar(sa.text("SELECT id FROM shares")) == "s"
    engine.dispose()
