"""Steps of workflows fail on the Linux back end, with each kind of error, before and after their
effect: people are told, and when all is deleted, nothing is left of it in the database or on the
machine.

Real namespaces and NFS servers, with shares on btrfs or in CephFS. A sample of the scenes and of
those places at which the machine has been changed already; all of them with `make walk`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from abaca.worker.backends import network_namespace
from tests.ceph_cluster import Ceph
from tests.crash.linux_world import in_ceph
from tests.databases import SqliteDatabases
from tests.linux_walk import BACKEND, BACKENDS, SCENES_IN_CEPH, linux_installation, scenes
from tests.operations.failure_walk import FailureWalk, Place, places
from tests.operations.scenarios import SPECS, SPECS_OF_CEPH, Ground
from tests.operations.scene import stored_slate
from tests.sample import IS_ALL, sample
from tests.stack import initialise

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow("each failure is a share server made anew"),
    pytest.mark.timeout(1800),
    pytest.mark.sampled_file(4),
]

PATIENCE = 120.0
MOST_PLACES = 8


def some_places(steps: list[str]) -> list[Place]:
    """About MOST_PLACES; all of them for `make walk`."""
    every = places(steps)
    if IS_ALL:
        return every
    changed = [
        (number, moment, error)
        for number, moment, error in every
        if moment == "inside" and steps[number - 1].endswith("+")
    ]
    return sample(changed, -(-len(changed) // MOST_PLACES), grows=False)


@pytest.mark.parametrize("scenario", scenes(offset=5))
def test_a_failure_anywhere_is_told_and_leaves_nothing_on_the_machine(
    scenario: str, sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    fail_anywhere(scenario, sqlite_databases.create_from(initialise), tmp_path)


@pytest.mark.parametrize("scenario", sample(SCENES_IN_CEPH, len(SCENES_IN_CEPH), grows=False))
def test_a_failure_anywhere_leaves_nothing_in_ceph_either(
    scenario: str, sqlite_databases: SqliteDatabases, tmp_path: Path, ceph: Ceph
) -> None:
    fail_anywhere(scenario, sqlite_databases.create_from(initialise), tmp_path, ceph)


def fail_anywhere(scenario: str, url: str, tmp_path: Path, ceph: Ceph | None = None) -> None:
    overrides: dict[str, Any] = {"worker.retry_seconds": 0.15}
    back_ends = {BACKEND: {"share_driver": "linux", **ceph.options()}} if ceph else BACKENDS
    with (
        linux_installation(url, tmp_path, back_ends, **overrides) as (stack, world),
        stack.working(),
    ):
        state_dir = Path(stack.conf.state_dir)

        def slate() -> dict[str, Any]:
            stored = in_ceph(ceph, network_namespace(stack.conf)) if ceph else {}
            return stored_slate(stack) | world.observe(state_dir) | stored

        ground = Ground(stack, SPECS_OF_CEPH if ceph else SPECS)
        walk = FailureWalk(ground, "CephFS" if ceph else "Linux", scenario, slate, PATIENCE)
        steps = walk.undisturbed(tmp_path / "steps")
        assert len(steps) >= 2
        for place in some_places(steps):
            walk.fail(steps, place)
