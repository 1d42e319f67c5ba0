"""Carrying out work: DBOS launched for one worker host, listening to its queue alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Event
from typing import NamedTuple

from dbos import DBOS, DBOSClient, DBOSConfig, SQLAlchemyDatasource
from dbos._datasource import IsolationLevel
from dbos._dbos import _get_dbos_instance
from sqlalchemy.engine import Engine

from abaca.workflow.queue import APPLICATION, VERSION, create_dbos_engine, queue_name
from abaca.workflow.serializer import JsonSerializer

_LOG = logging.getLogger(__name__)

_current: Runtime | None = None


class Stopping(BaseException):
    """The worker stops. Not an `Exception`, so that nothing is recorded: the work goes on from here at the next start."""


class Limits(NamedTuple):
    """Seconds between two looks for work; pieces of work at once; how long an effect is tried again, and how long one call of it may take,
    in seconds."""

    poll_interval: float
    concurrency: int
    retry_seconds: float
    call_seconds: float


class Runtime:
    """DBOS in this process. One a process, as DBOS itself is.

    `guard` is called before each step and raises or ends the process when the worker has lost the right to act.
    """

    def __init__(self, url: str, engine: Engine, worker_host: str, limits: Limits) -> None:
        self.worker_host = worker_host
        self.limits = limits
        self.stopping = Event()
        self.leaving: Future[None] = Future()  # done: no call is waited for any more
        self.guard: Callable[[], None] = lambda: None
        # READ COMMITTED halves the statements on PostgreSQL; SQLite has only one level that fits.
        self.isolation_level: IsolationLevel = "SERIALIZABLE" if engine.dialect.name == "sqlite" else "READ COMMITTED"
        self._url = url
        self._engine = engine
        self._dbos_engine = create_dbos_engine(url)
        self.datasource: SQLAlchemyDatasource

    def launch(self) -> None:
        """Start taking work, first what an earlier process of this host left unfinished."""
        global _current
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": self._url,
            "system_database_engine": self._dbos_engine,
            "executor_id": self.worker_host,
            "application_version": VERSION,
            "serializer": JsonSerializer(),
            "log_level": "WARNING",
            "run_migrations": False,
        }
        DBOS(config=config)
        self.datasource = SQLAlchemyDatasource.create(self._url, engine=self._engine, serializer=JsonSerializer(), run_migrations=False)
        _current = self
        queue = queue_name(self.worker_host)
        # Before the launch: a queue that is registered afterwards is noticed a second later.
        DBOSClient(system_database_engine=self._dbos_engine, serializer=JsonSerializer(), application_name=APPLICATION).register_queue(
            queue,
            partition_concurrency=1,  # with another number DBOS would look at each key by itself
            worker_concurrency=self.limits.concurrency,
            polling_interval_sec=self.limits.poll_interval,
            on_conflict="always_update",
        )
        DBOS.listen_queues([queue])
        DBOS.launch()
        _LOG.info("taking work from queue %s", queue)

    def stop(self, timeout_seconds: int = 10) -> None:
        """Start no step any more and wait a bounded time for those that run; the work goes on from there at the next start."""
        global _current
        self.stopping.set()
        if not _wait_for_work(timeout_seconds):
            _LOG.warning("stopping although calls have not come back: %s", _get_dbos_instance()._active_workflows_set.activeList())
        self.leaving.set_result(None)
        _wait_for_work(1)
        DBOS.destroy()
        self._dbos_engine.dispose()
        _current = None


def _wait_for_work(seconds: float) -> bool:
    """Whether nothing is being done any more. DBOS itself would look once a second."""
    pause = Event()
    deadline = time.monotonic() + seconds
    while _get_dbos_instance()._active_workflows_set.activeList():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.02)
    return True


def current() -> Runtime:
    """The runtime of this process. Raises RuntimeError outside a worker."""
    if _current is None:
        raise RuntimeError("no workflow runtime runs in this process")
    return _current
