"""As `test_checks`: what must hold of groups, their snapshots and backups is broken by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from abaca.db import tables
from abaca.domain.share_groups import share_group_snapshots
from tests.crash import fake_world, rows
from tests.crash.promises import BY_ITSELF, Key, Promises
from tests.crash.test_checks import HOST, change, world_file
from tests.databases import SqliteDatabases
from tests.operations.scenarios import Ground
from tests.operations.scenarios_backups import available_backup
from tests.operations.scenarios_groups import create_group
from tests.operations.scene import available_share, make_stack
from tests.stack import MEMBER, Stack, initialise


@pytest.fixture(scope="module")
def settled(
    sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, SqliteDatabases, str]]:
    """A group with a share and a snapshot, and a share with a backup, at rest."""
    url = sqlite_databases.create_from(initialise)
    stack = make_stack(tmp_path_factory.mktemp("state"), url, {"alpha": {}})
    with stack.working():
        ground = Ground(stack)
        available_backup(ground)
        network = ground.network()
        group = create_group(stack, network)
        assert stack.settled_group(group) == "available"
        available_share(stack, network, share_type="snap", share_group_id=group)
        made = stack.do(share_group_snapshots.create, MEMBER, group)["id"]
        assert stack.settled_group_snapshot(made) == "available"
    stack.close()
    yield stack, sqlite_databases, url


def test_what_is_at_rest_is_right(stack: Stack) -> None:
    assert rows.violations(stack.engine) == []
    assert fake_world.violations(stack.engine, world_file(stack), HOST) == []


SPOILS: list[tuple[sa.Table, dict[str, Any], str]] = [
    (tables.share_groups, {"status": "creating"}, "is creating, and nothing works on it"),
    (tables.share_group_snapshots, {"status": "deleting"}, "is deleting, and nothing works on it"),
    (tables.share_backups, {"status": "restoring"}, "is restoring, and nothing works on it"),
    (tables.share_backups, {"size": 4}, "backup_gigabytes of project"),
    (tables.share_groups, {"user_id": "another"}, "share_groups of project project, user 'anoth"),
    (tables.share_group_snapshots, {"project_id": "another"}, "of group snapshot"),
    (tables.share_groups, {"host": None}, "is nowhere"),
    (tables.share_instances, {"status": "awaiting_transfer"}, "not offered"),
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


@pytest.mark.parametrize(
    ("kind", "holds", "told"),
    [
        ("backups", {}, "is not on the back end"),
        ("fixed", {"x": 1}, "fixed x goes on on the back end"),
        ("fetched", {"x": 1}, "fetched x goes on on the back end"),
    ],
)
def test_what_the_back_end_holds_of_backups(
    stack: Stack, kind: str, holds: dict[str, int], told: str, tmp_path: Path
) -> None:
    world = msgspec.json.decode(world_file(stack).read_bytes())
    changed = tmp_path / "world.json"
    changed.write_bytes(msgspec.json.encode({**world, kind: holds}))
    assert told in "\n".join(fake_world.violations(stack.engine, changed, HOST))


def test_a_share_that_was_let_go_may_be_there(stack: Stack, tmp_path: Path) -> None:
    world = msgspec.json.decode(world_file(stack).read_bytes())
    share = next(iter(world["shares"].values()))
    world["shares"]["another"] = {**share, "id": "another"}
    changed = tmp_path / "world.json"
    changed.write_bytes(msgspec.json.encode(world))
    assert fake_world.violations(stack.engine, changed, HOST) == [
        "share another is on the back end, and nothing knows of it"
    ]
    assert fake_world.violations(stack.engine, changed, HOST, {"another"}) == []


SHARE: Key = ("share", "one")
MADE: Key = (BY_ITSELF, "share", "some-id")


def test_what_came_by_itself_may_come_and_go_but_not_stay_when_it_was_deleted() -> None:
    promises = Promises()
    assert promises.settle({MADE: 1}) == []
    assert promises.settle({}) == []
    promises.asked(MADE, is_there=False, is_certain=False)
    assert promises.settle({MADE: 1}) == []
    promises.asked(MADE, is_there=False, is_certain=True)
    assert promises.settle({MADE: 1}) == [
        f"{' '.join(MADE)} is there, although its deletion was accepted"
    ]


@pytest.mark.parametrize("is_certain", [True, False])
def test_what_another_project_has_accepted_is_gone(is_certain: bool) -> None:
    promises = Promises()
    promises.asked(SHARE, is_there=True, is_certain=True)
    promises.asked(("rule", "one", "::/0"), is_there=True, is_certain=True)
    promises.asked_for_size("one", 2, is_certain=True)
    promises.passed_on("one", is_certain=is_certain)
    assert promises.settle({SHARE: 5}) == (
        ["share one is there, although its deletion was accepted"] if is_certain else []
    )
