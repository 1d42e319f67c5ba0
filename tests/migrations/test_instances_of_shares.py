"""Revision 0017: the instance of a share is its active one, the states of rules are states on it;
there and back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from abaca.db import migrations
from abaca.db.session import begin, create_engine, read
from abaca.errors import Conflict

NOW, LATER = datetime(2026, 1, 1), datetime(2026, 1, 2)
STATES = {"r1": "active", "r2": "error", "r3": "queued_to_deny", "r4": "applying"}
OWNERS = {"r1": "s1", "r2": "s1", "r3": "s2", "r4": "s2"}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = create_engine(database_url)
    migrations.upgrade(made, "0016")
    with begin(made) as conn:
        add(conn, "share_types", id="gold", name="gold")
        for number in (1, 2, 3):
            add(
                conn,
                "shares",
                id=f"s{number}",
                project_id="red",
                size=1,
                share_proto="NFS",
                metadata={},
            )
            status = {"status": "available", "access_rules_status": "syncing"}
            add(
                conn,
                "share_instances",
                id=f"i{number}",
                share_id=f"s{number}",
                share_type_id="gold",
                **status,
            )
        for rule, state in STATES.items():
            to = {
                "access_type": "ip",
                "access_to": rule,
                "access_level": "rw",
                "state": state,
                "updated_at": LATER,
            }
            add(
                conn,
                "share_access_rules",
                id=rule,
                share_id=OWNERS[rule],
                metadata={"k": rule},
                **to,
            )
        lock = {
            "project_id": "red",
            "user_id": "alice",
            "lock_context": "user",
            "resource_action": "delete",
        }
        add(conn, "resource_locks", id="l", access_rule_id="r1", **lock)
    yield made
    made.dispose()


def add(conn: sa.Connection, table: str, **values: object) -> None:
    known = sa.Table(table, sa.MetaData(), autoload_with=conn)
    filled = {c.name: False for c in known.c if not c.nullable and isinstance(c.type, sa.Boolean)}
    conn.execute(sa.insert(known).values(**{**filled, "created_at": NOW, **values}))


def rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with read(engine) as conn:
        return sorted(tuple(row) for row in conn.execute(sa.text(query)))


def test_states_move_to_the_instance_and_back(engine: Engine) -> None:
    before = rows(
        engine, "SELECT id, share_id, access_to, access_level, state FROM share_access_rules"
    )
    migrations.upgrade(engine, "0017")
    assert rows(engine, "SELECT id, share_id, active FROM share_instances") == [
        (f"i{n}", f"s{n}", 1) for n in (1, 2, 3)
    ]
    placed = rows(
        engine, "SELECT access_id, share_instance_id, state FROM share_instance_access_map"
    )
    assert placed == [
        (rule, OWNERS[rule].replace("s", "i"), state) for rule, state in STATES.items()
    ]
    assert rows(engine, "SELECT id FROM share_access_rules") == [(rule,) for rule in STATES]
    assert rows(engine, "SELECT access_rule_id FROM resource_locks") == [("r1",)], (
        "a lock stays on its rule"
    )
    migrations.downgrade(engine, "0016")
    assert (
        rows(engine, "SELECT id, share_id, access_to, access_level, state FROM share_access_rules")
        == before
    )
    assert rows(engine, "SELECT id, share_id, access_rules_status FROM share_instances")[0] == (
        "i1",
        "s1",
        "syncing",
    )
    assert "share_instance_access_map" not in sa.inspect(engine).get_table_names()
    migrations.upgrade(engine, "0017")
    assert (
        rows(engine, "SELECT access_id, share_instance_id, state FROM share_instance_access_map")
        == placed
    )


def test_one_instance_of_a_share_is_active_and_others_are_not(engine: Engine) -> None:
    migrations.upgrade(engine, "0017")
    another = {
        "share_id": "s1",
        "share_type_id": "gold",
        "status": "available",
        "access_rules_status": "active",
    }
    for number in (1, 2):
        with begin(engine) as conn:
            add(conn, "share_instances", id=f"other{number}", **another)
    with pytest.raises(sa.exc.IntegrityError), begin(engine) as conn:
        add(conn, "share_instances", id="second", active=1, **another)
    with pytest.raises(Conflict, match="2 share instances are beside the active ones"):
        migrations.downgrade(engine, "0016", allow_data_loss=True)
    assert migrations.current(engine) == "0017"
    with begin(engine) as conn:
        conn.execute(sa.text("DELETE FROM share_instances WHERE active IS NULL"))
    migrations.downgrade(engine, "0016")
    with pytest.raises(sa.exc.IntegrityError), begin(engine) as conn:
        add(conn, "share_instances", id="second", **another)


def test_a_rule_goes_with_its_share_and_a_state_with_its_instance(engine: Engine) -> None:
    migrations.upgrade(engine, "0017")
    with begin(engine) as conn:
        conn.execute(sa.text("DELETE FROM share_instances WHERE id = 'i1'"))
        conn.execute(sa.text("DELETE FROM shares WHERE id = 's2'"))
    assert rows(engine, "SELECT access_id FROM share_instance_access_map") == []
    assert rows(engine, "SELECT id FROM share_access_rules") == [("r1",), ("r2",)]
