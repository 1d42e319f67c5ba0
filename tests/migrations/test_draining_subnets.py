"""Revision 0021: subnets that are there do not drain, and those that do not after going back."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read

NOW = datetime(2026, 1, 1)
ROWS = (
    "INSERT INTO share_networks (id, project_id, status, is_deleting, created_at) VALUES ('net', "
    "'p', 'active', :no, :now)",
    "INSERT INTO share_network_subnets (id, share_network_id, is_deleting, created_at, metadata) "
    "VALUES ('sub', 'net', :no, :now, '{}')",
)
COLUMNS = ("removal_started_at", "removal_deadline", "removal_at_deadline", "removal_obstacle")


def subnet(engine: Engine) -> dict[str, object]:
    with read(engine) as conn:
        table = sa.Table("share_network_subnets", sa.MetaData(), autoload_with=conn)
        return dict(conn.execute(sa.select(table)).mappings().one())


def test_subnets_begin_and_end_without_a_drain(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0020")
    with begin(engine) as conn:
        for statement in ROWS:
            conn.execute(sa.text(statement), {"no": False, "now": NOW})
    migrations.upgrade(engine, "0021")
    assert {subnet(engine)[name] for name in COLUMNS} == {None}
    with begin(engine) as conn:
        conn.execute(
            sa.text("UPDATE share_network_subnets SET removal_started_at = :now"), {"now": NOW}
        )
    migrations.downgrade(engine, "0020")
    assert not subnet(engine).keys() & set(COLUMNS)
    migrations.upgrade(engine, "0021")
    assert subnet(engine)["removal_started_at"] is None
    engine.dispose()
