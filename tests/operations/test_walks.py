"""Every workflow, killed before, inside and after its steps: it always ends as if nothing had
happened.

Real worker processes; on SQLite a sample of the places, on PostgreSQL a few of some scenes
(`tests.sample`), all of them with `make walk`. The addition of a subnet is walked whole on SQLite
in `test_walk_add_subnet`; the Linux back end in `test_walk_linux`. A new workflow needs a row in
`scenarios.SCENARIOS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.databases import Databases, SqliteDatabases
from tests.operations.scenarios import SCENARIOS, Ground, workflow_of
from tests.sample import sample
from tests.stack import Stack, initialise, make_conf
from tests.walk import Walk, places

OVERRIDES = {"service_down_time": 600}


OTHERS = [name for name in SCENARIOS if name != "share_server_add_subnet"]
RARE = 7


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", OTHERS)
def test_killed_anywhere_it_ends_the_same(
    scenario: str, sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    walk_scene(scenario, sqlite_databases, tmp_path)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", sample(OTHERS, 2 * RARE))
def test_killed_anywhere_it_ends_the_same_on_postgresql(
    scenario: str, postgresql_databases: Databases, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    if "postgresql" not in pytestconfig.getoption("--databases"):
        pytest.skip("PostgreSQL was not chosen (--databases)")
    walk_scene(scenario, postgresql_databases, tmp_path, one_of=RARE, grows=False)


def walk_scene(scenario: str, databases: Databases, tmp_path: Path, **how_many: Any) -> None:
    """Kill it at some places, and compare each end with that of an undisturbed run."""
    state_dir, url = tmp_path / "state", databases.create_from(initialise)
    state_dir.mkdir()
    backends = {"alpha": {"fault_plan": str(state_dir / "alpha.faults")}}
    stack = Stack(make_conf(state_dir, url, backends, **OVERRIDES))
    stack.share_type()
    with stack.working():
        ask = SCENARIOS[scenario](Ground(stack))
    ask()
    stack.close()
    walk = Walk(databases, url, state_dir, backends, workflow_of(scenario), dict(OVERRIDES))
    steps, expected = walk.undisturbed()
    assert len(steps) >= 2
    assert not [row for rows in expected.values() for row in rows if '"status":"error' in row], (
        "nothing is in error when nobody disturbs it"
    )
    for number, moment in places(steps, **how_many):
        walk.kill(steps, number, moment, expected)
