"""Workflows on the Linux back end, killed before, inside and after their steps: rows and machine
end as if nothing had happened.

Real worker processes that are killed, real namespaces and NFS servers. A sample of the scenes and
of their places; all of them with `make walk`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.databases import SqliteDatabases
from tests.linux_walk import BACKENDS, SCENES_WITH_IMAGES, WITH_IMAGES, linux_installation, scenes
from tests.operations.scenarios import SCENARIOS, Ground, workflow_of
from tests.stack import initialise
from tests.walk import MOMENTS, Walk, places

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow("each kill is a worker and share servers made anew"),
    pytest.mark.timeout(1800),
    pytest.mark.sampled_file(4),
    pytest.mark.sampled(4),
]

OVERRIDES = {"service_down_time": 600}
PATIENCE = 120.0
MOST_PLACES = 5


def some_places(steps: list[str]) -> list[tuple[int, str]]:
    """About MOST_PLACES; all of them for `make walk`."""
    return places(steps, one_of=len(steps) * len(MOMENTS) // MOST_PLACES | 1, grows=False)


@pytest.mark.parametrize("scenario", scenes())
def test_killed_anywhere_the_machine_ends_the_same(
    scenario: str, sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    _walk(scenario, BACKENDS, sqlite_databases, tmp_path)


@pytest.mark.parametrize("scenario", scenes(of=SCENES_WITH_IMAGES))
def test_killed_anywhere_with_images_the_machine_ends_the_same(
    scenario: str, sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    """Where each share server has a file system of its own, which is made, grows and goes in
    these."""
    _walk(scenario, WITH_IMAGES, sqlite_databases, tmp_path)


def _walk(
    scenario: str,
    backends: dict[str, dict[str, str]],
    sqlite_databases: SqliteDatabases,
    tmp_path: Path,
) -> None:
    url = sqlite_databases.create_from(initialise)
    with linux_installation(url, tmp_path, backends, **OVERRIDES) as (stack, world):
        with stack.working():
            ask = SCENARIOS[scenario](Ground(stack))
        ask()
        stack.close()
        laid_down = world.lay_down(Path(stack.conf.state_dir))
        walk = Walk(
            sqlite_databases,
            url,
            laid_down,
            backends,
            workflow_of(scenario),
            dict(OVERRIDES),
            world,
            PATIENCE,
        )
        steps, expected = walk.undisturbed()
        assert len(steps) >= 2
        for number, moment in some_places(steps):
            walk.kill(steps, number, moment, expected)
