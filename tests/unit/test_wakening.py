"""When a worker looks for work: what wakes it, and that nothing is missed. Waits are bounded by the
time-out of the test, not measured."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import NoReturn

import pytest
from sqlalchemy.engine import Engine

from abaca.db.session import begin, create_engine
from abaca.workflow import dbos_database, queue, wakening
from abaca.workflow.queue import Work
from abaca.workflow.wakening import Pace, listen

FOR_EVER = 3600.0
SOON = 30.0
NOT_NOW = 0.2


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    dbos_database.migrate(database_url)
    made = create_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def pace() -> Iterator[Pace]:
    made = Pace(lambda: FOR_EVER)
    yield made
    made.set()


class Looks:
    """Somebody who looks for work whenever `pace` says so."""

    def __init__(self, pace: Pace) -> None:
        self._looked = Event()
        self._threads = ThreadPoolExecutor(1)
        self._run = self._threads.submit(self._look, pace)

    def _look(self, pace: Pace) -> None:
        while not pace.wait(0.0):
            self._looked.set()

    def looks(self, seconds: float = SOON) -> bool:
        looked = self._looked.wait(seconds)
        self._looked.clear()
        return looked

    def has_stopped(self) -> bool:
        self._run.result(SOON)
        return True


def put_in(engine: Engine, worker_host: str, work_id: str) -> None:
    with begin(engine) as conn:
        queue.enqueue(
            conn,
            Work(
                name="probe",
                worker_host=worker_host,
                project_id="project",
                id=work_id,
                key=work_id,
                args=(),
            ),
        )


def test_a_wait_is_cut_short_and_ended(pace: Pace) -> None:
    looks = Looks(pace)
    assert not looks.looks(NOT_NOW)
    pace.wake()
    assert looks.looks()
    assert not looks.looks(NOT_NOW), "one look for each time it is woken"
    pace.set()
    assert looks.has_stopped()


def test_new_work_wakes_its_worker(engine: Engine, pace: Pace) -> None:
    listening, looks = listen(engine, "host1", pace), Looks(pace)
    assert looks.looks(), "what was put in before it listened"
    while looks.looks(NOT_NOW):
        pass
    put_in(engine, "host1", "first")
    assert looks.looks()
    pace.set()
    listening.join(SOON)
    assert not listening.is_alive() and looks.has_stopped()


def test_new_work_wakes_its_worker_where_the_kernel_does_not_tell(
    engine: Engine, pace: Pace
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wakening, "changes", _refused)
        test_new_work_wakes_its_worker(engine, pace)


def _refused(_folder: Path) -> NoReturn:
    raise OSError(errno.EMFILE, "Too many open files")


def test_work_for_others_and_work_that_is_rolled_back_wakes_nobody(
    engine: Engine, pace: Pace
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("any change of the file wakes, which costs one look")
    listen(engine, "host1", pace)
    looks = Looks(pace)
    assert looks.looks()
    put_in(engine, "host2", "of another")
    with pytest.raises(KeyError), begin(engine) as conn:
        queue.enqueue(
            conn,
            Work(
                name="probe",
                worker_host="host1",
                project_id="project",
                id="never",
                key="never",
                args=(),
            ),
        )
        raise KeyError
    assert not looks.looks(NOT_NOW)
