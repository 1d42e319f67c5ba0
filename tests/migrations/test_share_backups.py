"""Revision 0034: a table for backups, which is not taken away while copies stand."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, utcnow
from abaca.errors import Conflict

AFTER, BEFORE = "0034", "0029"


def test_backups_are_not_forgotten_unasked(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, AFTER)
    migrations.downgrade(engine, BEFORE)
    assert not sa.inspect(engine).has_table("share_backups")
    migrations.upgrade(engine, AFTER)
    tables = sa.MetaData()
    tables.reflect(engine)
    now = utcnow()
    with begin(engine) as conn:
        table = tables.tables["shares"]
        flags = {c.name: False for c in table.c if isinstance(c.type, sa.Boolean)}
        conn.execute(
            sa.insert(table).values(
                id="s",
                project_id="p",
                size=1,
                share_proto="NFS",
                metadata={},
                created_at=now,
                **flags,
            )
        )
        conn.execute(
            sa.insert(tables.tables["share_backups"]).values(
                id="b",
                project_id="p",
                share_id="s",
                size=1,
                status="available",
                host="h@b",
                progress=100,
                restore_progress=0,
                created_at=now,
            )
        )
    with pytest.raises(Conflict, match="1 share backups"):
        migrations.downgrade(engine, BEFORE)
    migrations.downgrade(engine, BEFORE, allow_data_loss=True)
    assert not sa.inspect(engine).has_table("share_backups")
    engine.dispose()
