"""Revision 0027: networks that are shared with all stay so, up and down."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read

BEFORE, AFTER = "0025", "0027"
NOW = datetime(2026, 1, 1)
ROWS = (
    "INSERT INTO local_networks (id, project_id, name, description, shared, mtu, network_type, "
    "created_at) VALUES ('own', 'p', 'n', '', :no, 1500, 'local', :now), ('all', 'p', 'n', '', "
    ":yes, 1500, 'local', :now)"
)


def policies(engine: Engine) -> set[tuple[str, str]]:
    with read(engine) as conn:
        table = sa.Table("local_rbac_policies", sa.MetaData(), autoload_with=conn)
        rows = conn.execute(sa.select(table.c.network_id, table.c.target_project))
        return {(row.network_id, row.target_project) for row in rows}


def test_what_is_shared_stays_shared(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, BEFORE)
    with begin(engine) as conn:
        conn.execute(sa.text(ROWS), {"no": False, "yes": True, "now": NOW})
    migrations.upgrade(engine, AFTER)
    assert policies(engine) == {("all", "*")}
    with begin(engine) as conn:
        conn.execute(
            sa.text(
                "INSERT INTO local_rbac_policies (id, network_id, target_project, created_at) "
                "VALUES ('x', 'own', 'blue', :now)"
            ),
            {"now": NOW},
        )
    migrations.downgrade(engine, BEFORE)
    with read(engine) as conn:
        table = sa.Table("local_networks", sa.MetaData(), autoload_with=conn)
        found = {row.id: bool(row.shared) for row in conn.execute(sa.select(table))}
    assert found == {"own": False, "all": True}
    migrations.upgrade(engine, AFTER)
    assert policies(engine) == {("all", "*")}
    engine.dispose()
