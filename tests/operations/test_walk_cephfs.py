"""The worker is killed at steps of workflows whose shares are in CephFS: the work ends as if
nothing had happened, and when all is deleted, nothing is left of it in the database, on the machine
or in Ceph.

A Ceph cannot be copied as the fake world and a btrfs image are, so all kills are of one
installation, one after the other. One scene a run, and some of its places; all with `make walk`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db.tables import messages
from abaca.domain.services import services
from abaca.worker.backends import network_namespace
from tests.ceph_cluster import Ceph
from tests.crash.linux_world import in_ceph
from tests.databases import SqliteDatabases
from tests.linux_walk import BACKEND, SCENES_IN_CEPH, linux_installation
from tests.operations.failure_walk import idle, reasons, unsettled
from tests.operations.scenarios import SCENARIOS, SPECS_OF_CEPH, Ground, workflow_of
from tests.operations.scene import stored_slate
from tests.sample import IS_ALL, sample
from tests.stack import Stack, WorkerProcess, initialise, wait_for
from tests.walk import places
from tests.walk_report import REPORT

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow("a Ceph, and three starts of a worker for each kill"),
    pytest.mark.timeout(1800),
    pytest.mark.sampled_file(8),
]

PATIENCE = 120.0
ONE_OF = 7


class Installation:
    """On a Ceph; `backends` as for `make_conf`."""

    def __init__(self, stack: Stack, url: str, backends: Mapping[str, Mapping[str, str]]) -> None:
        self.stack, self._url, self._backends = stack, url, backends
        self.state_dir = Path(stack.conf.state_dir)

    def worker(self, **environment: str) -> WorkerProcess:
        return WorkerProcess(self.state_dir, self._url, self._backends, environment)

    @contextmanager
    def working(self, **environment: str) -> Iterator[None]:
        """A worker runs, and has nothing to do in the end."""
        worker = self.worker(**environment)
        try:
            wait_for(
                lambda: [each["state"] for each in self.stack.ask(services.find, {})] == ["up"]
            )
            yield
            idle(self.stack, PATIENCE)
        finally:
            worker.stop()


@pytest.mark.parametrize("scenario", sample(SCENES_IN_CEPH, len(SCENES_IN_CEPH), grows=False))
def test_killed_anywhere_it_ends_well(
    scenario: str, sqlite_databases: SqliteDatabases, tmp_path: Path, ceph: Ceph
) -> None:
    url = sqlite_databases.create_from(initialise)
    backends = {BACKEND: {"share_driver": "linux", **ceph.options()}}
    with linux_installation(url, tmp_path, backends) as (stack, world):
        made = Installation(stack, url, backends)

        def slate() -> dict[str, Any]:
            stored = in_ceph(ceph, network_namespace(stack.conf))
            return stored_slate(stack) | world.observe(made.state_dir) | stored

        with made.working():
            ground = Ground(stack, SPECS_OF_CEPH)
            ground.share()
            ground.wipe()
        clean = slate()
        workflow, log = workflow_of(scenario), tmp_path / "steps"

        def play(**environment: str) -> None:
            with made.working():
                ask = SCENARIOS[scenario](ground)
            stack.do(lambda conn: conn.execute(sa.delete(messages)))
            ask()
            if environment:
                dies = made.worker(**environment)
                try:
                    wait_for(lambda: dies.exit_code is not None, PATIENCE)
                    assert dies.exit_code == -9, f"{environment}: ended with {dies.exit_code}"
                finally:
                    dies.kill()
            with made.working(**({} if environment else {"ABACA_STEP_LOG": str(log)})):
                idle(stack, PATIENCE)
                assert (unsettled(stack), reasons(stack)) == ([], []), environment
                ground.wipe()
            assert slate() == clean, environment

        play()
        named = (line.partition("/") for line in log.read_text().splitlines())
        steps = list(dict.fromkeys(step for of, _, step in named if of == workflow))
        assert len(steps) >= 2
        REPORT.walked(workflow, steps)
        for number, moment in places(steps, all_of_them=IS_ALL, one_of=ONE_OF, grows=False):
            with REPORT.trying("kills", "CephFS"):
                play(ABACA_CRASH_AT=f"{workflow}/{number}/{moment}")
