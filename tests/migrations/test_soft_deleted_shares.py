"""Revision 0014: shares that are there are not soft-deleted, and those that are do not come back unasked."""

from __future__ import annotations

from datetime import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read
from abaca.errors import Conflict

NOW = datetime(2026, 1, 1)


def shares(engine: Engine) -> list[dict[str, object]]:
    with read(engine) as conn:
        table = sa.Table("shares", sa.MetaData(), autoload_with=conn)
        return [dict(row) for row in conn.execute(sa.select(table)).mappings()]


def test_there_and_back(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0013")
    with begin(engine) as conn:
        table = sa.Table("shares", sa.MetaData(), autoload_with=conn)
        filled = {c.name: False for c in table.c if not c.nullable and isinstance(c.type, sa.Boolean)}
        conn.execute(sa.insert(table).values(id="s", project_id="red", size=1, share_proto="NFS", metadata={}, created_at=NOW, **filled))
    before = shares(engine)
    migrations.upgrade(engine, "0014")
    assert shares(engine) == [row | {"scheduled_to_be_deleted_at": None} for row in before]
    with begin(engine) as conn:
        conn.execute(sa.text("UPDATE shares SET scheduled_to_be_deleted_at = :now"), {"now": NOW})
    with pytest.raises(Conflict, match="1 shares are soft-deleted"):
        migrations.downgrade(engine, "0013")
    assert shares(engine)[0]["scheduled_to_be_deleted_at"] is not None
    migrations.downgrade(engine, "0013", allow_data_loss=True)
    assert shares(engine) == before
    engine.dispose()
