"""Running workflows: DBOS, launched for one worker host and listening only to that host's queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Event, Thread
from typing import Any, NamedTuple

from dbos import DBOS, DBOSClient, DBOSConfig
from dbos._dbos import _get_dbos_instance
from dbos._queue import queue_worker_thread
from sqlalchemy.engine import Engine

from abaca.workflow import wakening
from abaca.workflow.dbos_database import create_dbos_engine
from abaca.workflow.journal import Records
from abaca.workflow.queue import APPLICATION, VERSION, queue_name
from abaca.workflow.serializer import JsonSerializer
from abaca.workflow.slots import Chooser, Slots

_LOG = logging.getLogger(__name__)

_RECOVERY_SECONDS = 2.0
# nothing of ours waits for DBOS's notifications, but on SQLite its end waits for the pause between
# two looks
_NOTICED_SECONDS = 0.1

_current: Runtime | None = None


class Limits(NamedTuple):
    """`poll_interval`: seconds between two polls while work is being done. `slots`: work done at
    once. `retry_seconds`: how long an effect is retried. `call_seconds`: how long one call may
    take."""

    poll_interval: float
    slots: Slots
    retry_seconds: float
    call_seconds: float


class Runtime:
    """DBOS in this process; one per process, like DBOS itself.

    `guard` is called before each step. It raises, or ends the process, if the worker has lost its
    lease.
    """

    def __init__(self, url: str, engine: Engine, worker_host: str, limits: Limits) -> None:
        self.worker_host = worker_host
        self.limits = limits
        self.stopping = Event()
        self.leaving: Future[None] = Future()  # done: no call is waited for any more
        self.calls: set[Future[Any]] = set()  # that have not returned
        self.guard: Callable[[], None] = lambda: None
        self._url = url
        self.engine = engine
        self._dbos_engine = create_dbos_engine(url)
        self._pace = wakening.Pace(
            self._until_next_look, lambda: wakening.LEAST_SECONDS if self._is_busy() else 0.0
        )
        self._threads: list[Thread] = []
        self._launched = 0.0
        self.records: Records

    def launch(self) -> None:
        """Start taking work, beginning with what an earlier process of this host left
        unfinished."""
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
            "notification_listener_polling_interval_sec": _NOTICED_SECONDS,
        }
        DBOS(config=config)
        _current = self
        queue = DBOSClient(
            system_database_engine=self._dbos_engine,
            serializer=JsonSerializer(),
            application_name=APPLICATION,
        ).register_queue(
            queue_name(self.worker_host),
            partition_concurrency=1,  # with another number DBOS would look at each key by itself
            worker_concurrency=sum(self.limits.slots),
            on_conflict="always_update",
        )
        # its settings are ours and stay: they need not be read again at every look
        queue.database_backed_queue = False
        DBOS.listen_queues([])  # by itself DBOS looks at intervals only
        DBOS.launch()
        dbos = _get_dbos_instance()
        self._launched = time.monotonic()
        self.records = Records(self.engine, dbos._sys_db, self.stopping)
        choose = Chooser(dbos._sys_db, queue.name, self.worker_host, self.limits.slots)
        dbos._sys_db.start_queued_partitioned_workflows = choose.take  # type: ignore[method-assign, assignment]
        looking = Thread(
            target=queue_worker_thread, args=(self._pace, dbos, queue), name="queue", daemon=True
        )
        looking.start()
        self._threads = [looking, wakening.listen(self.engine, self.worker_host, self._pace)]
        _LOG.info("taking work from queue %s", queue.name)

    def stop(self, timeout_seconds: int = 10) -> None:
        """Start no more steps and wait for running ones for a limited time; the work continues at
        the next start."""
        global _current
        self.stopping.set()
        self._pace.set()
        for thread in self._threads:
            thread.join(timeout_seconds)
        if not _wait_for_work(timeout_seconds):
            _LOG.warning(
                "stopping although calls have not returned: %s",
                _get_dbos_instance()._active_workflows_set.activeList(),
            )
        self.leaving.set_result(None)
        _wait_for_work(1)
        DBOS.destroy()
        self._dbos_engine.dispose()
        _current = None

    def calls_have_ended(self, seconds: float) -> bool:
        """Whether no call runs any more, after so long at most."""
        return not wait(list(self.calls), seconds).not_done

    def work_ended(self) -> None:
        """Work ended: a slot is free, and perhaps the key of other work."""
        self._pace.wake()

    def _until_next_look(self) -> float:
        """Seconds. What an earlier process left comes back a little after the launch,
        unannounced."""
        is_new = time.monotonic() < self._launched + _RECOVERY_SECONDS
        return self.limits.poll_interval if is_new or self._is_busy() else wakening.IDLE_SECONDS

    def _is_busy(self) -> bool:
        return bool(_get_dbos_instance()._active_workflows_set.activeList())


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
