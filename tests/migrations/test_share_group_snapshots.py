"""Revision 0035: a table for snapshots of share groups, and which of them a snapshot is a member
of; none is forgotten unasked."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read
from abaca.errors import Conflict
from tests.migrations.test_share_groups import insert

AFTER, BEFORE = "0035", "0033"
MEMBER_OF = "share_group_snapshot_id"


def rows(engine: Engine) -> list[dict[str, Any]]:
    """Of the snapshots."""
    with read(engine) as conn:
        table = sa.Table("share_snapshots", sa.MetaData(), autoload_with=conn)
        return [dict(row) for row in conn.execute(sa.select(table)).mappings()]


def test_group_snapshots_are_not_forgotten_unasked(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, BEFORE)
    insert(engine, "shares", id="s", project_id="p", size=1, share_proto="NFS", metadata={})
    insert(
        engine,
        "share_snapshots",
        id="n",
        project_id="p",
        share_id="s",
        size=1,
        share_proto="NFS",
        metadata={},
    )
    before = rows(engine)
    migrations.upgrade(engine, AFTER)
    assert rows(engine) == [row | {MEMBER_OF: None} for row in before]
    insert(engine, "share_group_types", id="gt", name="pair", is_public=True)
    group = {"project_id": "p", "status": "available"}
    insert(engine, "share_groups", id="g", share_group_type_id="gt", **group)
    insert(engine, "share_group_snapshots", id="gs", share_group_id="g", **group)
    insert(
        engine,
        "quota_usages",
        project_id="p",
        user_id="",
        share_type_id="",
        share_group_snapshots=1,
    )
    with begin(engine) as conn:
        conn.execute(sa.text(f"UPDATE share_snapshots SET {MEMBER_OF} = 'gs'"))
    with pytest.raises(Conflict, match="1 snapshots of share groups"):
        migrations.downgrade(engine, BEFORE)
    assert rows(engine)[0][MEMBER_OF] == "gs"
    migrations.downgrade(engine, BEFORE, allow_data_loss=True)
    assert rows(engine) == before
    assert "share_group_snapshots" not in sa.inspect(engine).get_table_names()
    with read(engine) as conn:
        assert conn.scalar(sa.text("SELECT share_group_snapshots FROM quota_usages")) == 0
    engine.dispose()
