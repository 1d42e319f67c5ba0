"""Every workflow, killed before, inside and after its steps: it always ends as if nothing had
happened.

Real worker processes; on SQLite a sample of the places, on PostgreSQL a few of some scenes
(`tests.sample`), all of them with `make walk`. The addition of a subnet is walked whole on SQLite
in `test_walk_add_subnet`; the Linux back end in `test_walk_linux`. A new workflow needs a row in
`scenarios.SCENARIOS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.databases import Databases, SqliteDatabases
from tests.operations.scenarios import SCENARIOS, Ask, Ground, workflow_of
from tests.sample import sample
from tests.stack import Stack, initialise, make_conf
from tests.walk import Walk, places

OVERRIDES = {"service_down_time": 600}


OTHERS = [name for name in SCENARIOS if name != "share_server_add_subnet"]
RARE = 7


@pytest.mark.sampled(8)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", OTHERS)
def test_killed_anywhere_it_ends_the_same(
    scenario: str, sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    walk_scene(scenario, sqlite_databases, tmp_path)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", sample(OTHERS, 4 * RARE))
def test_killed_anywhere_it_ends_the_same_on_postgresql(
    scenario: str, postgresql_databases: Databases, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    if "postgresql" not in pytestconfig.getoption("--databases"):
        pytest.skip("PostgreSQL was not chosen (--databases)")
    walk_scene(scenario, postgresql_databases, tmp_path, one_of=RARE, grows=False)


def walk_scene(scenario: str, databases: Databases, tmp_path: Path, **how_many: Any) -> None:
    walk(
        lambda stack: SCENARIOS[scenario](Ground(stack)),
        workflow_of(scenario),
        databases,
        tmp_path,
        {},
        **how_many,
    )


def walk(
    scene: Callable[[Stack], Ask],
    workflow: str,
    databases: Databases,
    tmp_path: Path,
    options: Mapping[str, str],
    **how_many: Any,
) -> None:
    """Kill it at some places, and compare each end with that of an undisturbed run. `options`: of
    the back end."""
    state_dir, url = tmp_path / "state", databases.create_from(initialise)
    state_dir.mkdir()
    backends = {"alpha": {"fault_plan": str(state_dir / "alpha.faults"), **options}}
    stack = Stack(make_conf(state_dir, url, backends, **OVERRIDES))
    stack.share_type()
    with stack.working():
        ask = scene(stack)
    ask()
    stack.close()
    walked = Walk(databases, url, state_dir, backends, workflow, dict(OVERRIDES))
    steps, expected = walked.undisturbed()
    assert len(steps) >= 2
    assert not [row for rows in expected.values() for row in rows if '"status":"error' in row], (
        "nothing is in error when nobody disturbs it"
    )
    for number, moment in places(steps, **how_many):
        walked.kill(steps, number, moment, expected)
