"""Revision 0033: a table for offers of shares to other projects. Going back withdraws them."""

from __future__ import annotations

import sqlalchemy as sa

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read, utcnow

AFTER, BEFORE = "0033", "0038"


def test_shares_on_offer_are_available_again(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, AFTER)
    tables = sa.MetaData()
    tables.reflect(engine)
    shares, instances = tables.tables["shares"], tables.tables["share_instances"]
    statuses = {"offered": "awaiting_transfer", "broken": "error"}
    flags = {c.name: False for c in shares.c if isinstance(c.type, sa.Boolean)}
    pinned = {c.name: False for c in instances.c if isinstance(c.type, sa.Boolean)}
    now = utcnow()
    with begin(engine) as conn:
        conn.execute(
            sa.insert(tables.tables["share_types"]).values(
                id="y", name="gold", is_public=True, created_at=now
            )
        )
        for share, status in statuses.items():
            conn.execute(
                sa.insert(shares).values(
                    id=share,
                    project_id="p",
                    size=1,
                    share_proto="NFS",
                    metadata={},
                    created_at=now,
                    **flags,
                )
            )
            conn.execute(
                sa.insert(instances).values(
                    id=f"i-{share}",
                    share_id=share,
                    share_type_id="y",
                    active=1,
                    status=status,
                    access_rules_status="active",
                    created_at=now,
                    **pinned,
                )
            )
        conn.execute(
            sa.insert(tables.tables["share_transfers"]).values(
                id="t",
                share_id="offered",
                source_project_id="p",
                salt="00",
                key_hash="00",
                wrong_keys=0,
                expires_at=now,
                created_at=now,
            )
        )
    migrations.downgrade(engine, BEFORE)
    assert not sa.inspect(engine).has_table("share_transfers")
    with read(engine) as conn:
        left = {row.share_id: row.status for row in conn.execute(sa.select(instances))}
    assert left == {"offered": "available", "broken": "error"}
    migrations.upgrade(engine, AFTER)
    with begin(engine) as conn:
        assert conn.execute(sa.select(tables.tables["share_transfers"])).all() == []
    engine.dispose()
