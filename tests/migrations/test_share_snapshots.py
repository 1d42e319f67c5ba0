"""Revision 0005: what quotas counted stays, and no snapshot is counted yet."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read

USAGE = """
    INSERT INTO quota_usages
    (project_id, user_id, share_type_id, shares, gigabytes, share_networks)
    VALUES ('p', '', '', 3, 7, 2)
"""
COUNTED = ("shares", "gigabytes", "share_networks")


def test_usages_that_are_there_stay(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0004")
    with begin(engine) as conn:
        conn.execute(sa.text(USAGE))
    migrations.upgrade(engine, "0005")
    with read(engine) as conn:
        table = sa.Table("quota_usages", sa.MetaData(), autoload_with=conn)
        assert conn.execute(
            sa.select(*[table.c[name] for name in (*COUNTED, "snapshots", "snapshot_gigabytes")])
        ).all() == [(3, 7, 2, 0, 0)]
        assert table.c.snapshots.server_default is None
    migrations.downgrade(engine, "0004")
    with read(engine) as conn:
        table = sa.Table("quota_usages", sa.MetaData(), autoload_with=conn)
        assert "snapshots" not in table.c
        assert conn.execute(sa.select(*[table.c[name] for name in COUNTED])).all() == [(3, 7, 2)]
    assert not sa.inspect(engine).has_table("share_snapshots")
    engine.dispose()
