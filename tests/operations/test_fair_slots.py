"""A worker's slots are shared between the projects that have work; checks have slots of their
own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from threading import Event, Lock
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.domain.network_changes import security_service_changes
from abaca.domain.network_changes.security_service_changes import ChangeRequest
from abaca.drivers.fake.faults import Fault
from abaca.values import Caller
from abaca.workflow import queue
from abaca.workflow.queue import Work
from abaca.workflow.steps import effect, workflow
from tests.operations.conftest import Install
from tests.operations.scene import available_share, plan
from tests.operations.test_security_services import service
from tests.operations.test_workflow import dbos
from tests.stack import MEMBER, Stack, wait_for

OTHER = Caller(user_id="other", project_id="other-project", roles=("member",))

# --- work that keeps its slot until it is let go: module level, as DBOS wants it -----------------

_lock = Lock()
_begun: Counter[str] = Counter()
_let_go: dict[str, Event] = {}


def hold_a_slot(project: str) -> None:
    with _lock:
        _begun[project] += 1
    _let_go[project].wait(60)


def nothing(_conn: Connection, _project: str, _reason: str) -> None:
    pass


@workflow(on_failure=nothing)
def occupy(project: str) -> None:
    effect(hold_a_slot, project)


@workflow(on_failure=nothing, is_check=True)
def occupy_as_check(project: str) -> None:
    effect(hold_a_slot, project)


@pytest.fixture(autouse=True)
def projects() -> Iterator[None]:
    _begun.clear()
    _let_go.update({name: Event() for name in ("a", "b", "c", "d")})
    yield
    for event in _let_go.values():
        event.set()


def put_in(
    stack: Stack,
    project: str,
    number: int,
    name: str = "occupy",
    key: str | None = None,
    **more: bool,
) -> None:
    def enqueue(conn: Connection) -> None:
        for _ in range(number):
            id_ = str(uuid4())
            queue.enqueue(
                conn,
                Work(
                    name=name,
                    worker_host="host1",
                    project_id=project,
                    id=id_,
                    key=key or id_,
                    args=(project,),
                    **more,
                ),
            )

    stack.do(enqueue)


def begun(project: str, number: int) -> None:
    """Exactly so many pieces of the project's work have begun, and no more begin."""
    wait_for(lambda: _begun[project] >= number)
    Event().wait(0.3)
    assert _begun[project] == number


def test_slots_stay_free_for_whoever_comes_later(install: Install) -> None:
    stack = install(**{"worker.concurrency": 8})
    with stack.working():
        put_in(stack, "a", 20)
        begun("a", 5)
        put_in(stack, "b", 20)
        begun("b", 2)
        put_in(stack, "c", 20)
        begun("c", 1)
        put_in(stack, "d", 1)
        begun("d", 0)  # no slot is left
        _let_go["b"].set()  # its slots go to who holds fewest
        wait_for(lambda: _begun["d"] == 1)
        assert _begun["a"] == 5
        for event in _let_go.values():
            event.set()
        wait_for(lambda: not queue.unfinished(stack.engine), 30)
    assert _begun == {"a": 20, "b": 20, "c": 20, "d": 1}


def test_projects_that_come_at_the_same_time_get_as_much(install: Install) -> None:
    stack = install(**{"worker.concurrency": 10})
    put_in(stack, "a", 100)
    put_in(stack, "b", 100)
    with stack.working():
        begun("a", 4)
        begun("b", 4)
        for event in _let_go.values():
            event.set()
        wait_for(lambda: not queue.unfinished(stack.engine), 60)
    assert _begun == {"a": 100, "b": 100}


def test_a_worker_with_one_slot_does_all_work(install: Install) -> None:
    stack = install(**{"worker.concurrency": 1, "worker.check_concurrency": 1})
    for event in _let_go.values():
        event.set()
    put_in(stack, "a", 3)
    put_in(stack, "b", 3, "occupy_as_check")
    with stack.working():
        wait_for(lambda: not queue.unfinished(stack.engine), 30)
    assert _begun == {"a": 3, "b": 3}


def test_checks_have_slots_of_their_own(install: Install) -> None:
    stack = install(**{"worker.concurrency": 2, "worker.check_concurrency": 4})
    with stack.working():
        put_in(stack, "a", 20, "occupy_as_check")
        begun("a", 2)
        put_in(stack, "b", 20, "occupy_as_check")
        begun("b", 1)
        put_in(stack, "c", 20)
        begun("c", 1)
        for event in _let_go.values():
            event.set()
        wait_for(lambda: not queue.unfinished(stack.engine), 60)


def test_work_with_one_key_runs_one_after_the_other(install: Install) -> None:
    stack = install()
    with stack.working():
        put_in(stack, "a", 3, key="one")
        begun("a", 1)
        _let_go["a"].set()
        wait_for(lambda: _begun["a"] == 3)


def test_the_oldest_work_of_a_key_goes_first(install: Install) -> None:
    """What was put in within one second, too."""
    stack = install()
    for project in "abcd":
        put_in(stack, project, 1, key="one")
        Event().wait(0.01)
    with stack.working():
        for project in "abcd":
            begun(project, 1)
            _let_go[project].set()


def test_projects_take_turns_at_a_key_that_they_share(install: Install) -> None:
    stack = install()
    with stack.working():
        put_in(stack, "a", 4, key="one", in_turn=True)
        begun("a", 1)
        put_in(stack, "b", 2, key="one", in_turn=True)
        put_in(stack, "a", 1, key="one", in_turn=True)
        _let_go["a"].set()
        wait_for(lambda: _begun["b"] == 1)
        assert _begun["a"] == 1, "what a has put in before waits for b's first"
        _let_go["a"].clear()
        _let_go["b"].set()
        wait_for(lambda: _begun["a"] == 2)
        assert _begun["b"] == 1, "and b's second for a's"
        _let_go["a"].set()
        wait_for(lambda: not queue.unfinished(stack.engine), 30)
    assert _begun == {"a": 5, "b": 2}


def test_work_of_an_older_release_is_done(install: Install) -> None:
    """It does not say for which project."""
    stack = install()
    put_in(stack, "a", 3)
    before = sa.text(f"UPDATE {dbos(stack, 'workflow_status')} SET authenticated_user = NULL")
    stack.do(lambda conn: conn.execute(before))
    _let_go["a"].set()
    with stack.working():
        wait_for(lambda: _begun["a"] == 3)


def test_a_hundred_checks_that_hang_keep_no_other_project_waiting(install: Install) -> None:
    stack = install()
    with stack.working():
        networks = [stack.share_network(*stack.network("10.0.0.0/24")) for _ in range(10)]
        for network in networks:
            available_share(stack, network)
        method = "check_update_share_server_security_service"
        plan(stack, Fault(method=method, error="hang"))
        try:
            for number in range(10):
                new = service(stack, name=str(number))
                for network in networks:
                    stack.do(
                        security_service_changes.check,
                        MEMBER,
                        network,
                        ChangeRequest(new_id=new),
                        reset_operation=False,
                    )
            theirs = stack.share_network(*stack.network("10.0.0.0/24", caller=OTHER), caller=OTHER)
            share = stack.share(theirs, caller=OTHER)
            assert stack.settled_share(share) == "available"
            # nor the project's own work
            assert stack.settled_share(stack.share(networks[0])) == "available"
        finally:
            plan(stack)
