"""Revision 0003: subnets that are there get empty metadata."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read

SUBNET = (
    "INSERT INTO share_networks (id, project_id, status, is_deleting, created_at) VALUES ('net', "
    "'p', 'active', :no, :now)",
    "INSERT INTO share_network_subnets (id, share_network_id, is_deleting, created_at) VALUES "
    "('sub', 'net', :no, :now)",
)


def test_subnets_that_are_there_have_none(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0002")
    with begin(engine) as conn:
        for statement in SUBNET:
            conn.execute(sa.text(statement), {"no": False, "now": datetime(2026, 1, 1)})
    migrations.upgrade(engine, "0003")
    with read(engine) as conn:
        table = sa.Table("share_network_subnets", sa.MetaData(), autoload_with=conn)
        assert conn.execute(sa.select(table.c.id, table.c.metadata)).all() == [("sub", {})]
    migrations.downgrade(engine, "0002")
    with read(engine) as conn:
        table = sa.Table("share_network_subnets", sa.MetaData(), autoload_with=conn)
        assert "metadata" not in table.c
        assert conn.scalar(sa.select(table.c.id)) == "sub"
    engine.dispose()
