"""A back end that does not answer: the call is given up after its time, its share server is left
alone, and nobody else waits for it."""

from __future__ import annotations

from pathlib import Path
from threading import active_count

import pytest
import sqlalchemy as sa

from abaca import config
from abaca.db.session import allow_idleness, begin
from abaca.domain.services import services
from abaca.domain.shares import shares
from abaca.drivers.fake.faults import Fault
from abaca.errors import Conflict
from abaca.workflow import deadlines
from abaca.workflow.queue import LANES
from tests.operations.conftest import Install
from tests.operations.scene import (
    addresses,
    available_share,
    delete_server,
    delete_share,
    plan,
    server_of,
    struck,
    told,
)
from tests.stack import MEMBER, Stack, WorkerProcess, wait_for

pytestmark = pytest.mark.sampled(4)

MANY = 30  # more than are carried out at once


def quick(install: Install, **overrides: object) -> Stack:
    return install(**{"worker.call_seconds": 0.5, "worker.retry_seconds": 0.2, **overrides})


def test_who_waited_is_told_and_the_server_works_again_once_the_call_is_back(
    install: Install,
) -> None:
    stack = quick(install)
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        first = available_share(stack, network)
        threads = active_count()
        plan(stack, Fault(method="create_share", error="hang"))
        hung, late = stack.share(network), stack.share(network)
        assert [stack.settled_share(id_) for id_ in (hung, late)] == ["error", "error"]
        texts = told(stack)
        assert len(texts) == 2
        assert any("has not answered within 0.5 seconds" in text for text in texts)
        stack.do(shares.extend, MEMBER, first, 2)
        assert stack.settled_share(first) == "extending_error", (
            "nothing is begun on a server that hangs"
        )
        assert any(
            f"an earlier call about share server {server_of(stack, first)}" in text
            for text in told(stack)
        )
        plan(stack)
        wait_for(lambda: not deadlines.hanging())
        available_share(stack, network)
        wait_for(lambda: active_count() <= threads + 2)
        for id_ in (hung, late):
            delete_share(stack, id_)


def test_other_servers_are_served_meanwhile(install: Install) -> None:
    """However much work one server's tenants ask for."""
    stack = install(**{"worker.call_seconds": 60.0, "worker.concurrency": 2 * LANES})
    with stack.working():
        stuck = stack.share_network(*stack.network("10.1.0.0/24"))
        server = server_of(stack, available_share(stack, stuck))
        other = stack.share_network(*stack.network("10.2.0.0/24"))
        available_share(stack, other)
        plan(stack, Fault(method="create_share", match=server, error="hang"))
        waiting = [stack.share(stuck) for _ in range(MANY)]
        available_share(stack, other)
        plan(stack)
        assert {stack.settled_share(id_) for id_ in waiting} == {"available"}


def test_a_server_whose_set_up_hangs_is_taken_away_once_the_call_is_back(install: Install) -> None:
    stack = quick(install)
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        plan(stack, Fault(method="setup_server", error="hang"))
        share = stack.share(network)
        assert stack.settled_share(share) == "error"
        server = server_of(stack, share)
        plan(stack)
        wait_for(lambda: not deadlines.hanging())
        delete_share(stack, share)
        delete_server(stack, server)
        assert addresses(stack) == 0


def test_a_check_that_hangs_ends(install: Install) -> None:
    """It is about no lock; it is refused with its reason, and not asked for ever."""
    stack = quick(install)
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        available_share(stack, network)
        plan(stack, Fault(method="check_update_share_server_network_allocations", error="hang"))
        with pytest.raises(Conflict, match=r"has not answered within 0\.5 seconds"):
            stack.add_subnet(network, stack.network("10.2.0.0/24")[0])


def test_the_worker_stops_although_a_call_hangs_and_the_work_goes_on_at_its_next_start(
    install: Install,
) -> None:
    stack = install()
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    options = {"alpha": {"fault_plan": f"{stack.conf.state_dir}/alpha.faults"}}
    plan(stack, Fault(method="create_share", error="hang"))
    worker = WorkerProcess(Path(stack.conf.state_dir), config.database_url(stack.conf), options)
    try:
        stack.wait(
            lambda conn: [
                service for service in services.find(conn, {}) if service["state"] == "up"
            ]
        )
        share = stack.share(network)
        wait_for(lambda: struck(stack))
    finally:
        worker.stop()
    assert worker.exit_code == 0, "it ended by itself"
    plan(stack)
    with stack.working():
        assert stack.settled_share(share) == "available"


def test_the_worker_stops_in_time_although_the_database_keeps_it_waiting(install: Install) -> None:
    stack = install()
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    options = {"alpha": {"fault_plan": f"{stack.conf.state_dir}/alpha.faults"}}
    plan(stack, Fault(method="create_share", error="hang", when="after"))
    worker = WorkerProcess(Path(stack.conf.state_dir), config.database_url(stack.conf), options)
    try:
        stack.wait(
            lambda conn: [
                service for service in services.find(conn, {}) if service["state"] == "up"
            ]
        )
        share = stack.share(network)
        wait_for(lambda: struck(stack))
        with begin(stack.engine) as conn:  # SQLite lets nobody else write now
            allow_idleness(conn)
            if stack.engine.dialect.name == "postgresql":
                conn.execute(sa.text("LOCK TABLE dbos.operation_outputs"))
            plan(stack)  # the driver is done, and what it gave is to be stored
            worker.stop()
            assert worker.exit_code == 0, "it ended by itself"
    finally:
        worker.kill()
    with stack.working():
        assert stack.settled_share(share) == "available"
