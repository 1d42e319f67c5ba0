"""When a worker polls for work: when some is added, when some has ended, and at intervals. And when
it looks where ports are: when some have come, gone or moved, and at intervals.

PostgreSQL notifies by NOTIFY, in the transaction that enqueues the work. On SQLite, which serves
one machine, a changed file is noticed quickly and cheaply. Neither is relied on: a worker that is
not notified polls after its interval.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from abaca.db.session import is_sqlite, postgresql_arguments
from abaca.workflow.file_changes import changes

_LOG = logging.getLogger(__name__)

_CHANNEL = "abaca_work"
_FORWARDING = "abaca_forwarding"
_ALL_HOSTS = "*"
_BETWEEN_FILE_LOOKS = 0.01
_COMMIT_SECONDS = 0.2  # from the first write of a change until it can be seen, usually
_HEARING_SECONDS = 0.1  # between two looks whether to stop
_NOTIFY = sa.text("SELECT pg_notify(:channel, host) FROM unnest(CAST(:hosts AS text[])) AS host")

IDLE_SECONDS = 1.0
"""Between two looks while nothing is done and nothing is heard."""

LEAST_SECONDS = 0.02
"""Between two looks of a worker that is busy, whatever is heard: many who put work in at once wake
it once, and a look takes about 3 ms of CPU. One that does nothing looks at once."""


def announce(conn: Connection, worker_hosts: Collection[str]) -> None:
    """Notify these workers, when the transaction commits, that there is work."""
    if worker_hosts and not is_sqlite(conn):
        conn.execute(_NOTIFY, {"channel": _CHANNEL, "hosts": sorted(worker_hosts)})


def announce_forwarding(conn: Connection) -> None:
    """Notify all workers, when the transaction commits, that ports are elsewhere."""
    if not is_sqlite(conn):
        conn.execute(_NOTIFY, {"channel": _FORWARDING, "hosts": [_ALL_HOSTS]})


class Pace(Event):
    """The event that stops DBOS's queue thread, and on which it waits between two polls: a wait
    that can be cut short."""

    def __init__(
        self, seconds: Callable[[], float], least: Callable[[], float] = lambda: 0.0
    ) -> None:
        super().__init__()
        self._seconds, self._least = seconds, least
        self._wake = Event()

    def wake(self) -> None:
        """Poll now, or once more if a poll is in progress."""
        self._wake.set()

    def set(self) -> None:
        """Stop."""
        super().set()
        self._wake.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the next poll. Returns True to stop instead. DBOS's own timeout is ignored."""
        looked = time.monotonic()
        self._wake.wait(self._seconds())
        too_soon = looked + self._least() - time.monotonic()
        if too_soon > 0:
            super().wait(too_soon)
        self._wake.clear()
        return self.is_set()


def listen(engine: Engine, worker_host: str, pace: Pace) -> Thread:
    """Wake `pace` when work for this host is added, until stopped."""
    target = _watch_file if engine.dialect.name == "sqlite" else _hear_notifications
    return _started(target, engine, worker_host, pace, _CHANNEL)


def listen_forwarding(engine: Engine, pace: Pace) -> Thread | None:
    """Wake `pace` when ports are elsewhere, until stopped. None on SQLite: all are on one
    machine."""
    if engine.dialect.name == "sqlite":
        return None
    return _started(_hear_notifications, engine, _ALL_HOSTS, pace, _FORWARDING)


def _started(target: Callable[..., None], *args: object) -> Thread:
    thread = Thread(target=target, args=args, name="wakening", daemon=True)
    thread.start()
    return thread


def _hear_notifications(engine: Engine, payload: str, pace: Pace, channel: str) -> None:
    """Uses a connection of its own; while there is none, the worker polls."""
    while not pace.is_set():
        try:
            given = engine.dialect.create_connect_args(engine.url)[1]
            parameters = {**given, **postgresql_arguments(engine.url)}
            with psycopg.connect(**parameters, autocommit=True) as conn:
                conn.execute(f"LISTEN {channel}")
                pace.wake()  # what was put in before
                while not pace.is_set():
                    for notification in conn.notifies(timeout=_HEARING_SECONDS, stop_after=1):
                        if notification.payload == payload:
                            pace.wake()
        except psycopg.Error as error:
            _LOG.debug("no notifications: %s", error)
            Event.wait(pace, IDLE_SECONDS)


def _watch_file(engine: Engine, _host: str, pace: Pace, _channel: str) -> None:
    """`data_version` is another number when another connection has changed the file; asking costs
    some microseconds. The kernel tells when the file is written, which is before the change can be
    seen: so it is looked at often for a while then, and now and then otherwise."""
    with engine.connect() as connection, ExitStack() as watched:
        cursor = connection.connection.cursor()
        seen, written = None, 0.0
        try:
            wait = watched.enter_context(changes(Path(engine.url.database or "").parent))
        except OSError as error:
            _LOG.info("no inotify (%s): the database's file is looked at all the time", error)
            wait = None
        while not pace.is_set():
            (version,) = cursor.execute("PRAGMA data_version").fetchone()
            if version != seen:
                seen = version
                pace.wake()
            is_soon = wait is None or time.monotonic() < written + _COMMIT_SECONDS
            if is_soon:
                Event.wait(pace, _BETWEEN_FILE_LOOKS)
            if wait is not None and wait(0.0 if is_soon else _HEARING_SECONDS):
                written = time.monotonic()
