"""Notice share servers that stopped serving by themselves, their file server dead or hanging, and bring them back.

A back end is asked for all its servers at once. One that it names is asked about again under its lock, and then ensured. A server that
does not stay up is tried again after longer and longer pauses, so that it takes nobody else's time.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial
from threading import Thread

from sqlalchemy.engine import Engine

from abaca.db.session import read
from abaca.domain import share_servers
from abaca.errors import BackendError
from abaca.operations import serving
from abaca.reconcile import passes, standing_share_servers
from abaca.workflow import deadlines
from abaca.workflow.runtime import Runtime

_LOG = logging.getLogger(__name__)

MOST_AT_ONCE = 8
SHORTEST_PAUSE = 10.0
LONGEST_PAUSE = 600.0
STEADY_SECONDS = 600.0
"""Who has served so long since it was brought back counts as healthy: its next pause is the shortest again."""


@dataclass
class _Trouble:
    """How often a server was brought back lately, until when it is left alone, and whether that goes on now."""

    attempts: int = 0
    not_before: float = 0.0
    is_attended: bool = False


class Watch:
    """Over the servers of the back end `host`."""

    def __init__(self, engine: Engine, host: str, runtime: Runtime) -> None:
        self._engine = engine
        self._host = host
        self._runtime = runtime
        self._troubles: dict[str, _Trouble] = {}

    def look(self) -> int:
        """Ask about all servers that stand, and begin to bring back those that do not serve, a few at once. How many do not."""
        with read(self._engine) as conn:
            standing = share_servers.standing(conn, self._host)
        unserved = self._ask(standing)
        self._forget_what_is_over(unserved)
        for server_id in unserved:
            trouble = self._troubles.setdefault(server_id, _Trouble())
            busy = sum(each.is_attended for each in self._troubles.values())
            if not trouble.is_attended and time.monotonic() >= trouble.not_before and busy < MOST_AT_ONCE:
                trouble.is_attended = True
                # A thread each: a server whose lock is held for long holds no other up.
                Thread(target=self._bring_back, args=(server_id, trouble), name=f"bring back {server_id}", daemon=True).start()
        return len(unserved)

    def _ask(self, server_ids: list[str]) -> list[str]:
        ask = partial(serving.current().driver(self._host).unserved, server_ids)
        return deadlines.call(ask, f"unserved of {self._host}", self._runtime)

    def _forget_what_is_over(self, unserved: list[str]) -> None:
        over = time.monotonic() - STEADY_SECONDS
        for server_id, trouble in list(self._troubles.items()):
            if server_id not in unserved and not trouble.is_attended and trouble.not_before < over:
                del self._troubles[server_id]

    def _bring_back(self, server_id: str, trouble: _Trouble) -> None:
        try:
            passes.once(f"bring back {server_id}", partial(self._ensure, server_id, trouble))
        finally:
            trouble.is_attended = False

    def _ensure(self, server_id: str, trouble: _Trouble) -> None:
        def is_wanted() -> bool:
            if self._runtime.stopping.is_set() or not self._ask([server_id]):
                return False  # another operation has started it meanwhile
            self._runtime.guard()
            trouble.attempts += 1
            _LOG.warning("share server %s does not serve; it is brought back (attempt %d)", server_id, trouble.attempts)
            return True

        started = time.monotonic()
        try:
            standing_share_servers.ensure(self._engine, self._host, server_id, self._runtime, is_wanted)
        except BackendError as error:
            _LOG.error("share server %s could not be brought back: %s", server_id, error.message)
        else:
            _LOG.info("share server %s has been looked after in %.1f s", server_id, time.monotonic() - started)
        finally:
            pause = min(SHORTEST_PAUSE * 2 ** max(trouble.attempts - 1, 0), LONGEST_PAUSE) if trouble.attempts else 0.0
            trouble.not_before = time.monotonic() + pause
