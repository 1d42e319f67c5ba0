"""Kill the worker at every step of a workflow and compare where it ends with a run that nothing
disturbed.

Any workflow can be walked: prepare an installation, put the work into its queue while no worker
runs, and hand it to `Walk`. Each place is tried on a copy of database and world, with real worker
processes and SIGKILL. The world is one of fake back ends, unless another is given
(`tests.linux_walk`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from abaca.db.session import create_engine, read
from abaca.db.tables import metadata
from abaca.drivers.fake import FakeDriver
from abaca.workflow import queue
from tests.databases import Databases
from tests.sample import offsets
from tests.stack import WorkerProcess, wait_for
from tests.walk_report import REPORT


def where(url: str) -> str:
    """What a database of that URL is called in the report, its back ends being fake."""
    return "SQLite" if url.startswith("sqlite") else "PostgreSQL"


MOMENTS = ("before", "inside", "after")
_SIGKILL = -9
_SAMPLE = 21


def places(
    steps: Sequence[str], *, all_of_them: bool = False, one_of: int = _SAMPLE, grows: bool = True
) -> list[tuple[int, str]]:
    """Where to kill: every place, or one of so many (an odd number), as `sample` draws them."""
    every = [(number, moment) for number in range(1, len(steps) + 1) for moment in MOMENTS]
    if all_of_them:
        return every
    # Shifted by the step's number: a sample of a long workflow holds all moments, whatever their
    # number and the sample's have in common.
    chosen = offsets(one_of, steps, grows=grows)
    return [
        (number, moment)
        for place, (number, moment) in enumerate(every)
        if (place + number) % one_of in chosen
    ]


# What differs between two runs that both went right: when, and ids that the run itself draws.
_VOLATILE = {"created_at", "updated_at", "expires_at", "stats", "token"}
_DRAWN_IDS = {"share_export_locations", "share_snapshot_export_locations", "messages"}


class World(Protocol):
    """What back ends hold, below a state directory and on the machine."""

    def copy(self, state_dir: Path) -> Path:
        """The state directory of a run of its own; what the back ends hold is there when its worker
        is up."""

    def observe(self, state_dir: Path) -> dict[str, Any]:
        """All that the back ends of a run hold, as comparable values."""

    def remove(self, state_dir: Path) -> None:
        """Take a run's away."""


class FakeWorlds:
    """Those of fake back ends of these names: a file each."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)
        self._copies = 0

    def copy(self, state_dir: Path) -> Path:
        self._copies += 1
        copy = state_dir.with_name(f"{state_dir.name}-{self._copies}")
        shutil.copytree(state_dir, copy)
        return copy

    def observe(self, state_dir: Path) -> dict[str, Any]:
        worlds = {
            name: FakeDriver(
                name, {"state_file": str(state_dir / "worker" / f"{name}.json")}
            ).world()
            for name in self._names
        }
        return {f"world of {name}": msgspec.to_builtins(world) for name, world in worlds.items()}

    def remove(self, state_dir: Path) -> None:
        shutil.rmtree(state_dir)


@dataclass
class Walk:
    """`url`, `state_dir`: the prepared installation, its work in the queue and nobody connected.
    `backends`: as for `make_conf`.

    `patience`: seconds that the work may take, the start of a worker included. `is_over`: whether
    work that a pass of a worker has to begin has begun, and has had its effect.
    """

    databases: Databases
    url: str
    state_dir: Path
    backends: Mapping[str, Mapping[str, str]]
    workflow: str
    overrides: dict[str, object] = field(default_factory=dict)
    world: World | None = None
    patience: float = 20.0
    is_over: Callable[[Connection], bool] = lambda _conn: True

    def __post_init__(self) -> None:
        self._world: World = self.world or FakeWorlds(self.backends)
        self._where = "Linux" if self.world else where(self.url)

    def undisturbed(self) -> tuple[list[str], dict[str, Any]]:
        """The steps of the workflow, as `number/name`, and where the installation ends."""
        url, state_dir = self._copy()
        log = state_dir / "steps"
        self._finish(url, state_dir, {"ABACA_STEP_LOG": str(log)})
        steps = [
            line.partition("/")[2]
            for line in log.read_text().splitlines()
            if line.startswith(f"{self.workflow}/")
        ]
        steps = list(dict.fromkeys(steps))
        REPORT.walked(self.workflow, steps)
        return steps, self._observe(url, state_dir)

    def kill(
        self, steps: Sequence[str], number: int, moment: str, expected: Mapping[str, Any]
    ) -> None:
        """Kill the worker there. Fails unless it ends as expected."""
        with REPORT.trying("kills", self._where):
            end = self._killed_at(number, moment)
            different = {
                name: (expected.get(name), end.get(name))
                for name in expected.keys() | end.keys()
                if expected.get(name) != end.get(name)
            }
            assert not different, f"killed {moment} step {steps[number - 1]}: {different}"

    def _killed_at(self, number: int, moment: str) -> dict[str, Any]:
        """Where it ends when the worker is killed there and started again. Fails when the worker
        did not die there."""
        url, state_dir = self._copy()
        worker = self._worker(
            url, state_dir, {"ABACA_CRASH_AT": f"{self.workflow}/{number}/{moment}"}
        )
        try:
            wait_for(lambda: worker.exit_code is not None, self.patience)
            assert worker.exit_code == _SIGKILL, f"the worker ended with {worker.exit_code}"
        finally:
            worker.kill()
        self._finish(url, state_dir, {})
        return self._observe(url, state_dir)

    def _worker(self, url: str, state_dir: Path, environment: dict[str, str]) -> WorkerProcess:
        return WorkerProcess(state_dir, url, self.backends, environment, **self.overrides)

    def _finish(self, url: str, state_dir: Path, environment: dict[str, str]) -> None:
        worker = self._worker(url, state_dir, environment)
        engine = create_engine(url)
        try:
            wait_for(lambda: self._has_ended(engine), self.patience)
        finally:
            engine.dispose()
            worker.kill()

    def _has_ended(self, engine: Engine) -> bool:
        with read(engine) as conn:
            if not self.is_over(conn):
                return False
        return not queue.unfinished(engine)

    def _copy(self) -> tuple[str, Path]:
        return self.databases.copy(self.url), self._world.copy(self.state_dir)

    def _observe(self, url: str, state_dir: Path) -> dict[str, Any]:
        """All rows and the world, without what differs from run to run."""
        engine = create_engine(url)
        try:
            with read(engine) as conn:
                seen: dict[str, Any] = {
                    table.name: sorted(
                        _stable(table, row) for row in conn.execute(sa.select(table))
                    )
                    for table in metadata.sorted_tables
                    # measured every minute; deleted after seconds; how often rows change
                    if table.name not in ("share_usages", "client_inquiries", "project_versions")
                }
        finally:
            engine.dispose()
            self.databases.drop(url)
        seen |= self._world.observe(state_dir)
        self._world.remove(state_dir)
        return seen


def _stable(table: sa.Table, row: sa.Row[Any]) -> str:
    dropped = _VOLATILE | ({"id"} if table.name in _DRAWN_IDS else set())
    shown = {key: value for key, value in row._asdict().items() if key not in dropped}
    if isinstance(pairs := shown.get("metadata"), dict):  # __managed_at of a snapshot is a time
        shown["metadata"] = {key: value for key, value in pairs.items() if key != "__managed_at"}
    return msgspec.json.encode(shown).decode()
