"""Revision 0023: a table for questions that are asked again when they are lost."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, utcnow

TABLE = "client_inquiries"


def test_it_comes_and_goes_with_rows(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0023")
    with begin(engine) as conn:
        table = sa.Table(TABLE, sa.MetaData(), autoload_with=conn)
        asked = dict.fromkeys(("share_server_ids", "hosts", "answers"), "{}")
        row = {"id": "i", "digest": "d", "expires_at": utcnow(), "created_at": utcnow(), **asked}
        conn.execute(sa.insert(table).values(row))
    migrations.downgrade(engine, "0023-1")
    assert not sa.inspect(engine).has_table(TABLE)
    migrations.upgrade(engine, "0023")
    assert sa.inspect(engine).has_table(TABLE)
    engine.dispose()
