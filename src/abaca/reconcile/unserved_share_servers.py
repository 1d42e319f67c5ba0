"""Recover share servers that stopped serving by themselves: their file server died or hangs.

The driver reports deaths as they happen; hanging servers are found by asking it periodically about
all its servers at once. Each unserved server is restarted as it was, which needs neither its lock
nor the database; if it still does not serve, it is ensured under its lock. The first attempt is
immediate. A server that does not stay up is retried after longer and longer pauses, so that it
takes no time from the others.

A server that has come from another host and was not set up well is ensured even if it serves: some
of its shares may lack.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import BoundedSemaphore, Lock, Thread

from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.domain.server_moves import share_server_moves
from abaca.domain.share_servers import share_servers
from abaca.drivers.interface import ShareDriver
from abaca.errors import BackendError
from abaca.operations import serving
from abaca.reconcile import ensured_share_servers, passes
from abaca.workflow import deadlines
from abaca.workflow.runtime import Runtime

_LOG = logging.getLogger(__name__)

MOST_AT_ONCE = 8
LONGEST_WAIT = 5.0
"""Seconds that one server waits for others before it is brought back beside them."""
SHORTEST_PAUSE = 10.0
LONGEST_PAUSE = 600.0
STEADY_SECONDS = 600.0
"""A server that has served for so long since it was brought back counts as healthy: its next pause
is the shortest again."""


@dataclass
class _Trouble:
    """How often a server had to be recovered recently, and until when it is left alone.

    `is_attended`: it is being recovered now. `was_needed`: recovery found something to do.
    """

    attempts: int = 0
    not_before: float = 0.0
    is_attended: bool = False
    was_needed: bool = False


class Watch:
    """Watches the servers of the back end `host`. `restarts`: how many recoveries were
    attempted."""

    def __init__(self, engine: Engine, host: str, runtime: Runtime) -> None:
        self._engine = engine
        self._host = host
        self._runtime = runtime
        self._troubles: dict[str, _Trouble] = {}
        self._troubles_lock = Lock()
        self._places = BoundedSemaphore(MOST_AT_ONCE)
        self.restarts = 0

    def look(self) -> int:
        """Ask about all existing servers, or the back end's own, and begin to recover those that do
        not serve. Returns how many do not."""
        with read(self._engine) as conn:
            standing = share_servers.serving_ids(conn, self._host, self._runtime.worker_host)
        awaited = self._awaited().intersection(standing)
        if (own := self._driver.own_server_id) is not None:
            standing.append(own)
        unserved = self._ask(standing)
        troubled = sorted(awaited.union(unserved))
        self._forget_what_is_over(troubled)
        self.attend(troubled)
        return len(unserved)

    def attend(self, server_ids: Iterable[str]) -> None:
        """Begin to recover these servers, except those that are being recovered or are left alone
        for now."""
        for server_id in server_ids:
            with self._troubles_lock:
                trouble = self._troubles.setdefault(server_id, _Trouble())
                if trouble.is_attended or time.monotonic() < trouble.not_before:
                    continue
                trouble.is_attended = True
            # A thread each: a server whose lock is held for long holds no other up.
            Thread(
                target=self._bring_back,
                args=(server_id, trouble),
                name=f"bring back {server_id}",
                daemon=True,
            ).start()

    @property
    def _driver(self) -> ShareDriver:
        return serving.current().driver(self._host)

    def _ask(self, server_ids: list[str]) -> list[str]:
        return deadlines.call(
            partial(self._driver.unserved, server_ids), f"unserved of {self._host}", self._runtime
        )

    def _awaited(self) -> set[str]:
        """Servers that have come to this host, and do not stand yet."""
        with read(self._engine) as conn:
            return share_server_moves.not_standing_yet(conn, self._runtime.worker_host)

    def _forget_what_is_over(self, troubled: list[str]) -> None:
        over = time.monotonic() - STEADY_SECONDS
        with self._troubles_lock:
            for server_id, trouble in list(self._troubles.items()):
                if (
                    server_id not in troubled
                    and not trouble.is_attended
                    and trouble.not_before < over
                ):
                    del self._troubles[server_id]

    def _bring_back(self, server_id: str, trouble: _Trouble) -> None:
        trouble.was_needed = False
        try:
            passes.once(f"restart {server_id}", partial(self._restart, server_id, trouble))
            passes.once(f"bring back {server_id}", partial(self._ensure, server_id, trouble))
        finally:
            if trouble.was_needed:
                trouble.not_before = time.monotonic() + min(
                    SHORTEST_PAUSE * 2**trouble.attempts, LONGEST_PAUSE
                )
                trouble.attempts += 1
                with self._troubles_lock:
                    self.restarts += 1
            trouble.is_attended = False

    @contextmanager
    def _room(self) -> Iterator[None]:
        """One of a few places. Who has waited for long goes without: those who have one may
        hang."""
        has_place = self._places.acquire(timeout=LONGEST_WAIT)
        try:
            yield
        finally:
            if has_place:
                self._places.release()

    def _restart(self, server_id: str, trouble: _Trouble) -> None:
        with self._room():
            if self._runtime.stopping.is_set():
                return
            self._runtime.guard()
            started = time.monotonic()
            try:
                trouble.was_needed = deadlines.call(
                    partial(self._driver.restart_server, server_id), "restart_server", self._runtime
                )
            except BackendError as error:
                trouble.was_needed = True
                _LOG.error("share server %s could not be restarted: %s", server_id, error.message)
        if trouble.was_needed:
            _LOG.warning(
                "share server %s did not serve; its restart took %.2f s",
                server_id,
                time.monotonic() - started,
            )

    def _ensure(self, server_id: str, trouble: _Trouble) -> None:
        def is_wanted() -> bool:
            if self._runtime.stopping.is_set():
                return False
            if not (is_awaited := server_id in self._awaited()) and not self._ask([server_id]):
                return False  # it serves again
            self._runtime.guard()
            trouble.was_needed = True
            _LOG.warning(
                "share server %s does not %s; recovering it (attempt %d)",
                server_id,
                "stand yet" if is_awaited else "serve",
                trouble.attempts + 1,
            )
            return True

        engine, host, runtime = self._engine, self._host, self._runtime
        room = self._room()
        try:
            if server_id == self._driver.own_server_id:
                ensured_share_servers.ensure_back_end(engine, host, runtime, is_wanted, room)
            elif ensured_share_servers.ensure(engine, host, server_id, runtime, is_wanted, room):
                with begin(engine) as conn:
                    share_server_moves.stands(conn, server_id, runtime.worker_host)
        except BackendError as error:
            _LOG.error("share server %s could not be recovered: %s", server_id, error.message)
