"""Each invariant is broken once by hand, and told. Without this a campaign that finds nothing would
say little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from abaca.db import tables
from abaca.db.session import utcnow
from abaca.workflow.queue import Work, enqueue
from tests.crash import fake_world, rows
from tests.crash.promises import Key, Promises
from tests.databases import SqliteDatabases
from tests.operations.scenarios import Ground
from tests.operations.scene import make_stack
from tests.stack import Stack, initialise

HOST = "host1@alpha"


@pytest.fixture(scope="module")
def settled(
    sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, SqliteDatabases, str]]:
    """A share with a rule and a snapshot on two subnets, at rest."""
    state_dir = tmp_path_factory.mktemp("state")
    url = sqlite_databases.create_from(initialise)
    stack = make_stack(state_dir, url, {"alpha": {}})
    with stack.working():
        Ground(stack).snapshot()
    stack.close()
    yield stack, sqlite_databases, url


def world_file(stack: Stack) -> Path:
    return Path(stack.conf.state_dir, "worker", "alpha.json")


def change(stack: Stack, table: sa.Table, **values: Any) -> None:
    stack.do(lambda conn: conn.execute(sa.update(table).values(**values)))


def forget(stack: Stack, table: sa.Table) -> None:
    stack.do(lambda conn: conn.execute(sa.delete(table)))


def test_what_is_at_rest_is_right(stack: Stack) -> None:
    assert rows.violations(stack.engine) == []
    assert fake_world.violations(stack.engine, world_file(stack), HOST) == []
    assert stack.ask(rows.errors) == []


def test_what_goes_by_a_deferred_deletion_is_counted_no_more(stack: Stack) -> None:
    for table in (tables.share_snapshots, tables.shares):
        change(stack, table, deletion_deferred_at=utcnow())
    change(stack, tables.share_snapshot_instances, status="error_deferred_deleting")
    change(stack, tables.share_instances, status="error_deferred_deleting")
    assert len(told := rows.violations(stack.engine)) and all("counted" in each for each in told)
    change(stack, tables.quota_usages, shares=0, gigabytes=0, snapshots=0, snapshot_gigabytes=0)
    assert rows.violations(stack.engine) == []
    change(stack, tables.share_instances, status="deferred_deleting")
    assert "is deferred_deleting, and nothing works on it" in "\n".join(
        rows.violations(stack.engine)
    )


SPOILS: list[tuple[sa.Table, dict[str, Any], str]] = [
    (tables.share_instances, {"status": "extending"}, "is extending, and nothing works on it"),
    (
        tables.share_networks,
        {"status": "network_change"},
        "is network_change, and nothing works on it",
    ),
    (
        tables.share_instances,
        {"access_rules_status": "syncing"},
        "is syncing, and nothing works on it",
    ),
    (
        tables.share_instance_access_map,
        {"state": "applying"},
        "is applying, and nothing works on it",
    ),
    (tables.share_instance_access_map, {"state": "error"}, "the rules of its share are active"),
    (tables.local_ports, {"mac_address": "fa:16:3e:00:00:01"}, "was given 2 times"),
    (tables.share_server_share_network_subnet_mappings, {"is_served": False}, "its network on"),
    (tables.share_export_locations, {"path": "10.9.9.9:/shares/x"}, "has export locations"),
    (tables.quota_usages, {"shares": 2}, "shares of project"),
    (tables.quota_usages, {"snapshot_gigabytes": 0}, "snapshot_gigabytes of project"),
    (tables.pools, {"allocated_capacity_gb": 7}, "7 GiB claimed, 1 there"),
    (tables.shares, {"growing_to": 9}, "is available and claims a growth"),
]


@pytest.mark.parametrize(
    ("table", "values", "told"),
    SPOILS,
    ids=[f"{table.name}-{'-'.join(values)}" for table, values, _ in SPOILS],
)
def test_rows_that_do_not_fit(
    stack: Stack, table: sa.Table, values: dict[str, Any], told: str
) -> None:
    change(stack, table, **values)
    assert told in "\n".join(rows.violations(stack.engine))


def test_addresses_that_nobody_holds_or_gave(stack: Stack) -> None:
    forget(stack, tables.network_allocations)
    found = "\n".join(rows.violations(stack.engine))
    assert (
        "is held by no server" in found
        and "has addresses on []" in found
        and "has export locations" in found
    )


def test_addresses_that_were_never_given(stack: Stack) -> None:
    forget(stack, tables.local_ports)
    assert "was never given" in "\n".join(rows.violations(stack.engine))


def test_a_network_that_does_not_go(stack: Stack) -> None:
    values = {
        "id": "gone",
        "project_id": "project",
        "status": "active",
        "is_deleting": True,
        "created_at": utcnow(),
    }
    stack.do(lambda conn: conn.execute(sa.insert(tables.share_networks).values(values)))
    assert "is deleted and still there" in "\n".join(rows.violations(stack.engine))


def test_work_that_has_not_ended(stack: Stack) -> None:
    work = Work(
        name="share_delete",
        worker_host="nobody",
        project_id="project",
        id="share_delete:x:1",
        key="x",
        args=("x",),
    )
    stack.do(lambda conn: enqueue(conn, work))
    assert "work has not ended" in rows.violations(stack.engine)


def test_a_noun_in_error_is_listed(stack: Stack) -> None:
    change(stack, tables.share_instances, status="error")
    assert [error for error in stack.ask(rows.errors) if "is in error" in error]


@pytest.mark.parametrize("kind", ["servers", "shares", "snapshots"])
def test_what_the_back_end_lacks_and_what_nobody_knows(
    stack: Stack, kind: str, tmp_path: Path
) -> None:
    world = msgspec.json.decode(world_file(stack).read_bytes())
    ((id_, thing),) = world[kind].items()
    changed = tmp_path / "world.json"
    changed.write_bytes(
        msgspec.json.encode({**world, kind: {f"{id_[:-1]}x": {**thing, "id": f"{id_[:-1]}x"}}})
    )
    found = "\n".join(fake_world.violations(stack.engine, changed, HOST))
    assert (
        f"{id_} is not on the back end" in found
        and f"{id_[:-1]}x is on the back end, and nothing knows of it" in found
    )


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [("size", 9, "has 9 GiB on the back end"), ("access_rules", [], "is open to []")],
)
def test_a_share_that_is_not_as_it_should_be(
    stack: Stack, field: str, value: object, told: str, tmp_path: Path
) -> None:
    world = msgspec.json.decode(world_file(stack).read_bytes())
    (share,) = world["shares"].values()
    share[field] = value
    changed = tmp_path / "world.json"
    changed.write_bytes(msgspec.json.encode(world))
    assert told in "\n".join(fake_world.violations(stack.engine, changed, HOST))


# --- promises -------------------------------------------------------------------------------------

SHARE: Key = ("share", "one")


def test_what_was_accepted_must_be_there() -> None:
    promises = Promises()
    promises.asked(SHARE, is_there=True, is_certain=True)
    assert promises.settle({}) == ["share one is not there, although its creation was accepted"]


def test_what_was_deleted_must_be_gone() -> None:
    promises = Promises()
    promises.asked(SHARE, is_there=False, is_certain=True)
    assert promises.settle({SHARE: 1}) == ["share one is there, although its deletion was accepted"]


def test_what_nobody_asked_for_must_not_be_there() -> None:
    assert Promises().settle({SHARE: 1}) == ["share one is there, and nobody asked for it"]


@pytest.mark.parametrize("found", [{}, {SHARE: 1}])
def test_without_an_answer_either_is_right_and_holds_from_then_on(
    found: dict[Key, int | None],
) -> None:
    promises = Promises()
    promises.asked(SHARE, is_there=True, is_certain=False)
    assert promises.settle(found) == []
    assert (promises.found_done, promises.found_not_done) == (len(found), 1 - len(found))
    assert promises.settle({} if found else {SHARE: 1}) != []


def test_a_size_that_was_accepted_must_be_there() -> None:
    promises = Promises()
    promises.asked(SHARE, is_there=True, is_certain=True)
    promises.asked_for_size("one", 2, is_certain=True)
    promises.asked_for_size("one", 4, is_certain=False)
    assert promises.settle({SHARE: 3}) == ["share one has 3 GiB, although it was to have [2, 4]"]


def test_rules_go_with_their_share() -> None:
    promises = Promises()
    promises.asked(SHARE, is_there=False, is_certain=True)
    promises.asked(("rule", "one", "10.0.0.0/8"), is_there=True, is_certain=True)
    assert promises.settle({}) == []


def test_a_share_of_the_same_name_has_no_rules_of_the_one_before() -> None:
    promises = Promises()
    promises.asked(SHARE, is_there=True, is_certain=True)
    promises.asked(("rule", "one", "10.0.0.0/8"), is_there=True, is_certain=True)
    promises.asked(SHARE, is_there=False, is_certain=True)
    promises.asked(SHARE, is_there=True, is_certain=True)
    assert promises.settle({SHARE: 1}) == []
