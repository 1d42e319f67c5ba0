"""Revision 0013: what was claimed on a pool stays claimed, there and back."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read

ROW = (
    "INSERT INTO pools (host, service_host, stats, allocated_capacity_gb, updated_at) VALUES "
    "('h@b#p', 'h@b', '{}', 7, :now)"
)


def test_claims_stay(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0012")
    with begin(engine) as conn:
        conn.execute(sa.text(ROW), {"now": datetime(2026, 1, 1)})
    for migrate, revision in ((migrations.upgrade, "0013"), (migrations.downgrade, "0012")):
        migrate(engine, revision)
        with read(engine) as conn:
            assert conn.execute(sa.text("SELECT host, allocated_capacity_gb FROM pools")).all() == [
                ("h@b#p", 7)
            ]
    engine.dispose()
