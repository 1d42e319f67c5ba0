"""Revisions 0064 and 0065: the free addresses of checks, and a table for versions of projects."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine

TABLE = "project_versions"


def test_they_come_and_go_with_rows(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0065")
    with begin(engine) as conn:
        table = sa.Table(TABLE, sa.MetaData(), autoload_with=conn)
        conn.execute(sa.insert(table).values(project_id="red", slot=0, version=1 << 40))
    columns = {column["name"] for column in sa.inspect(engine).get_columns("share_network_checks")}
    assert "free_addresses" in columns
    migrations.downgrade(engine, "0054")
    assert not sa.inspect(engine).has_table(TABLE)
    columns = {column["name"] for column in sa.inspect(engine).get_columns("share_network_checks")}
    assert "free_addresses" not in columns
    migrations.upgrade(engine, "0065")
    assert sa.inspect(engine).has_table(TABLE)
    engine.dispose()
