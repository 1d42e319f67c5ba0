"""Workflows on the Linux back end, killed before, inside and after their steps: rows and machine end as if nothing had happened.

Real worker processes that are killed, real namespaces and NFS servers. One scene a day and some of its places, all of them with `make walk`.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from abaca.drivers.linux import inventory
from abaca.worker.backends import network_namespace
from tests.contracts.drivers.linux_backend import unavailable_reason
from tests.databases import SqliteDatabases
from tests.linux_walk import LinuxWorld
from tests.operations.scenarios import SCENARIOS, Ground, workflow_of
from tests.stack import Stack, initialise, make_conf
from tests.walk import MOMENTS, Walk, places, walks_everything

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]

BACKEND = "b1"
BACKENDS = {BACKEND: {"share_driver": "linux", "pool_size_gib": "20"}}
OVERRIDES = {"service_down_time": 600}
PATIENCE = 120.0
MOST_PLACES = 5
SCENES = (
    "share_create",
    "access_apply",
    "share_server_add_subnet",
    "share_delete",
    "share_extend",
    "share_server_delete",
    "share_shrink",
    "share_revert",
    "snapshot_create",
    "share_create_from_a_snapshot",
    "snapshot_delete",
)


def todays(scenes: tuple[str, ...]) -> tuple[str, ...]:
    """All of them for `make walk`, else one, another one each day."""
    return scenes if walks_everything() else (scenes[date.today().toordinal() % len(scenes)],)


def todays_places(steps: list[str]) -> list[tuple[int, str]]:
    """All of them for `make walk`, else about MOST_PLACES."""
    return places(steps, one_of=len(steps) * len(MOMENTS) // MOST_PLACES | 1)


@pytest.mark.parametrize("scenario", todays(SCENES))
def test_killed_anywhere_the_machine_ends_the_same(scenario: str, sqlite_databases: SqliteDatabases, tmp_path: Path) -> None:
    if reason := unavailable_reason():
        pytest.skip(reason)
    tmp_path.chmod(0o755)
    state_dir, url = tmp_path / "state", sqlite_databases.create_from(initialise)
    state_dir.mkdir()
    stack = Stack(make_conf(state_dir, url, BACKENDS, **OVERRIDES))
    namespace = network_namespace(stack.conf)
    world = LinuxWorld(namespace, BACKEND)
    try:
        stack.share_type()
        with stack.working():
            ask = SCENARIOS[scenario](Ground(stack))
        ask()
        stack.close()
        laid_down = world.lay_down(state_dir)
        walk = Walk(sqlite_databases, url, laid_down, BACKENDS, workflow_of(scenario), dict(OVERRIDES), world, PATIENCE)
        steps, expected = walk.undisturbed()
        assert len(steps) >= 2
        for number, moment in todays_places(steps):
            end = walk.killed_at(number, moment)
            different = {name: (found, end.get(name)) for name, found in expected.items() if found != end.get(name)}
            assert not different and end.keys() == expected.keys(), f"killed {moment} step {steps[number - 1]}: {different}"
    finally:
        stack.close()
        inventory.remove_installation(namespace, state_dir / "worker")
    assert not any(inventory.leftovers(namespace, state_dir / "worker").values())
