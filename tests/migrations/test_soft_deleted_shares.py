"""Revision 0014: shares that are there are not soft-deleted, and those that are do not come back
unasked."""

from __future__ import annotations

from datetime import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read
from abaca.errors import Conflict
from tests.databases import Databases

NOW = datetime(2026, 1, 1)


def shares(engine: Engine) -> list[dict[str, object]]:
    with read(engine) as conn:
        table = sa.Table("shares", sa.MetaData(), autoload_with=conn)
        return [dict(row) for row in conn.execute(sa.select(table)).mappings()]


def one_share(engine: Engine, revision: str) -> None:
    """A database at that revision, with a share."""
    migrations.upgrade(engine, revision)
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


def test_postgresql_knows_that_no_share_is(postgresql_databases: Databases) -> None:
    engine = create_engine(postgresql_databases.create())
    one_share(engine, "0013")
    migrations.upgrade(engine)
    known = (
        "SELECT null_frac FROM pg_stats WHERE tablename = 'shares' AND attname = "
        "'scheduled_to_be_deleted_at'"
    )
    with read(engine) as conn:
        assert conn.scalar(sa.text(known)) == 1.0
    engine.dispose()


def test_there_and_back(database_url: str) -> None:
    engine = create_engine(database_url)
    one_share(engine, "0013")
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
