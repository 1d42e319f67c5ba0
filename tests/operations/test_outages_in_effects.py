"""The database goes away for a moment while an effect reads from it: the effect is done all the same, nobody is told of a failure."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from abaca.workflow import inspection
from tests.operations.conftest import Install
from tests.operations.scene import all_servers, available_share, told

READERS = {"setup_server", "server_without_subnet", "update_share_server_network_allocations"}
"""Effects that read what is not handed to them; their threads are named after them."""


def test_an_effect_that_finds_no_database_waits_for_it(install: Install) -> None:
    stack = install()
    if stack.engine.dialect.name != "sqlite":
        pytest.skip("a listener on the engine does not see reads there; tests.crash kills the real server")
    struck: set[str] = set()

    def strike(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        name = threading.current_thread().name
        if name in READERS - struck:
            struck.add(name)
            raise OperationalError(statement, None, Exception("the server closed the connection unexpectedly"))

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
