"""Revision 0028: usages that are there stay, nothing new is counted yet, and no share is pinned."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read

NOW = datetime(2026, 1, 1)
NEW = ("share_groups", "share_group_snapshots", "backups", "backup_gigabytes")


def add(conn: sa.Connection, table: str, **values: object) -> None:
    known = sa.Table(table, sa.MetaData(), autoload_with=conn)
    filled = {c.name: False for c in known.c if not c.nullable and isinstance(c.type, sa.Boolean)}
    times = {"created_at": NOW} if "created_at" in known.c else {}
    conn.execute(sa.insert(known).values(**{**filled, **times, **values}))


def only_row(engine: Engine, table: str) -> dict[str, object]:
    with read(engine) as conn:
        known = sa.Table(table, sa.MetaData(), autoload_with=conn)
        return dict(conn.execute(sa.select(known)).mappings().one())


def test_usages_and_shares_stay(database_url: str) -> None:
    engine = create_engine(database_url)
    migrations.upgrade(engine, "0027")
    with begin(engine) as conn:
        add(conn, "share_types", id="gold", name="gold")
        add(conn, "shares", id="s", project_id="red", size=7, share_proto="NFS", metadata={})
        add(
            conn,
            "share_instances",
            id="i",
            share_id="s",
            active=1,
            share_type_id="gold",
            status="available",
            access_rules_status="active",
        )
        add(
            conn,
            "share_export_locations",
            id="e",
            share_instance_id="i",
            path="/s",
            position=0,
            metadata={},
        )
        counts = {"shares": 1, "gigabytes": 7, "share_networks": 2}
        counts |= {"snapshots": 3, "snapshot_gigabytes": 21}
        add(conn, "quota_usages", project_id="red", user_id="", share_type_id="", **counts)
    usage, instance = only_row(engine, "quota_usages"), only_row(engine, "share_instances")
    migrations.upgrade(engine, "0028")
    assert only_row(engine, "quota_usages") == usage | dict.fromkeys(NEW, 0)
    assert only_row(engine, "share_instances") == instance | {"is_pinned": False}
    with begin(engine) as conn:
        conn.execute(sa.text("UPDATE share_instances SET is_pinned = :yes"), {"yes": True})
    migrations.downgrade(engine, "0027")
    assert only_row(engine, "quota_usages") == usage
    assert only_row(engine, "share_instances") == instance
    assert only_row(engine, "share_export_locations")["path"] == "/s"
    engine.dispose()
