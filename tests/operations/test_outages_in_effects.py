"""The database goes away for a moment while an effect reads from it: the effect is done all the
same, nobody is told of a failure."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from abaca.domain.shares import shares
from abaca.workflow import inspection, queue
from tests.operations.conftest import Install
from tests.operations.scene import all_servers, allow, available_share, told
from tests.stack import MEMBER, wait_for

pytestmark = [pytest.mark.each_database, pytest.mark.sampled_file(8)]

READERS = {"setup_server", "server_without_subnet", "update_share_server_network_allocations"}
"""Effects that read what is not handed to them; their threads are named after them."""


def test_an_effect_that_finds_no_database_waits_for_it(install: Install) -> None:
    stack = install()
    if stack.engine.dialect.name != "sqlite":
        pytest.skip(
            "a listener on the engine does not see reads there; tests.crash kills the real server"
        )
    struck: set[str] = set()

    def strike(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        name = threading.current_thread().name
        if name in READERS - struck:
            struck.add(name)
            raise OperationalError(
                statement, None, Exception("the server closed the connection unexpectedly")
            )

    with stack.working() as worker:
        sa.event.listen(worker.engine, "before_cursor_execute", strike)
        first, second = stack.network("10.1.0.0/24", "fd00:1::/64")
        network = stack.share_network(first)
        available_share(stack, network)
        stack.add_subnet(network, second)
        assert stack.settled_network(network) == "active"
    assert struck == READERS
    assert {server.status for server in all_servers(stack)} == {"active"}
    assert (told(stack), inspection.find(stack.engine)) == ([], [])


class Full:
    """The disk of an engine's database: from `now` on statements that match fail as on a full one,
    until `over`."""

    def __init__(self, engine: Engine, *words: str) -> None:
        self._words = words
        self._is_full = False
        self.refused = 0
        sa.event.listen(engine, "before_cursor_execute", self._strike)

    def now(self) -> None:
        self._is_full = True

    def over(self) -> None:
        self._is_full = False

    def _strike(
        self, _conn: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any
    ) -> None:
        if self._is_full and all(word in f"{statement} {parameters}" for word in self._words):
            self.refused += 1
            raise OperationalError(statement, None, Exception("database or disk is full"))


def test_addresses_are_given_once_there_is_room_for_them(install: Install) -> None:
    """However long that takes: it is no failure of the network plug-in."""
    stack = install(**{"worker.retry_seconds": 0.3})
    with stack.working() as worker:
        disk = Full(worker.engine, "INSERT INTO local_ports")
        disk.now()
        share = stack.share(stack.share_network(*stack.network("10.1.0.0/24")))
        # the pauses between them are longer than the patience with a plug-in
        wait_for(lambda: disk.refused >= 4)
        disk.over()
        assert stack.settled_share(share) == "available"
    assert (told(stack), inspection.find(stack.engine)) == ([], [])


@pytest.mark.timeout(120)
def test_work_whose_end_could_not_be_stored_keeps_no_other_waiting(install: Install) -> None:
    stack = install(unused_share_server_cleanup_interval=1)
    with stack.working() as worker:
        disk = Full(worker._runtime._dbos_engine, "UPDATE", "workflow_status", "SUCCESS")
        disk.now()
        share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
        wait_for(lambda: disk.refused)
        disk.over()
        allow(stack, share, "10.9.9.9")
        stack.wait(
            lambda conn: shares.get(conn, MEMBER, share)["access_rules_status"] == "active", 60
        )
        wait_for(lambda: not queue.unfinished(stack.engine))
    assert (told(stack), inspection.find(stack.engine)) == ([], [])
