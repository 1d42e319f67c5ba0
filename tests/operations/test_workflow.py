"""Durable work by itself: how it is put in, what of it is stored and comes back, and that nothing
stored is ever unpickled."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from abaca.db.session import begin
from abaca.db.tables import availability_zones as zones
from abaca.domain.services import availability_zones
from abaca.domain.shares import shares
from abaca.drivers.fake.faults import Fault
from abaca.errors import BackendError, NoSpace, OutcomeUnknown, Refused, Unavailable
from abaca.values import ExportLocation, Subnet
from abaca.workflow import queue
from abaca.workflow.queue import Work
from abaca.workflow.retention import GAVE_UP
from abaca.workflow.serializer import Bug
from abaca.workflow.steps import INTERNAL_ERROR, effect, tx, workflow
from tests.operations.conftest import Install
from tests.operations.scene import available_share, plan, share, slate, struck, told
from tests.stack import ADMIN, Stack, wait_for

pytestmark = pytest.mark.each_database

# --- work of the tests' own: module level, as DBOS wants it ---------------------------------------

_seen: list[Any] = []
_gate = Event()
SUBNET = Subnet(neutron_net_id="n", neutron_subnet_id="s", cidr="10.0.0.0/8", ip_version=4)
ERRORS = {kind.__name__: kind for kind in (Unavailable, OutcomeUnknown, NoSpace, Refused)}


def give() -> tuple[Subnet, dict[str, list[ExportLocation]], str | None]:
    return SUBNET, {"a": [ExportLocation(path="10.0.0.1:/x", preferred=True)]}, None


def give_from_rows(conn: Connection) -> set[str]:
    return set(conn.scalars(sa.select(sa.literal("x"))))


def fail_so(name: str) -> None:
    if name == "bug":
        raise KeyError("what nobody meant")
    raise ERRORS[name]("why", {"half": "made"})


def pass_the_gate() -> None:
    if not _gate.is_set():
        raise Unavailable("the gate is shut")


def note_end(conn: Connection, name: str, reason: str) -> None:
    _seen.append(("ended", name, reason))


@workflow(on_failure=note_end)
def probe(name: str) -> None:
    _seen.append((effect(give), tx(give_from_rows)))
    for error in (*ERRORS, "bug"):
        try:
            effect(fail_so, error)
        except Exception as caught:
            _seen.append(caught)
    effect(pass_the_gate)
    _seen.append("passed")
    if name in (*ERRORS, "bug"):
        effect(fail_so, name)


def count(conn: Connection) -> int:
    """Adds a zone, which there may be only once."""
    conn.info["is_counting"] = True
    _seen.append("counted")
    availability_zones.ensure(conn, "counted")
    return conn.scalar(sa.select(sa.func.count()).where(zones.c.name == "counted")) or 0


@workflow(on_failure=note_end)
def counting(_name: str) -> None:
    _seen.append(tx(count))


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    _seen.clear()
    _gate.clear()
    yield
    _gate.set()


def work(id_: str, *args: str, name: str = "probe") -> Work:
    return Work(
        name=name, worker_host="host1", project_id="project", id=id_, key=f"key of {id_}", args=args
    )


# --- putting work in ------------------------------------------------------------------------------


def test_work_of_a_transaction_that_is_rolled_back_is_not_there(stack: Stack) -> None:
    with pytest.raises(KeyError), begin(stack.engine) as conn:
        queue.enqueue(conn, work("w1", "w1"))
        raise KeyError
    assert queue.unfinished(stack.engine) == []
    _gate.set()
    stack.do(queue.enqueue, work("w2", "w2"))
    wait_for(lambda: "passed" in _seen and not queue.unfinished(stack.engine))
    assert _seen.count("passed") == 1


def test_the_same_id_is_the_same_work(stack: Stack) -> None:
    _gate.set()
    for _ in range(3):
        stack.do(queue.enqueue, work("w1", "w1"))
    wait_for(lambda: not queue.unfinished(stack.engine))
    stack.do(queue.enqueue, work("w1", "w1"))
    stack.do(queue.enqueue, work("w2", "w2"))
    wait_for(lambda: _seen.count("passed") >= 2 and not queue.unfinished(stack.engine))
    assert _seen.count("passed") == 2


def test_a_share_that_is_refused_at_the_last_moment_leaves_no_work(install: Install) -> None:
    stack = install()
    with stack.working():
        share_network = stack.share_network(*stack.network("10.1.0.0/24"))
        id_ = available_share(stack, share_network)
    before = slate(stack)
    with pytest.raises(KeyError), begin(stack.engine) as conn:
        shares.delete(conn, ADMIN, id_)
        raise KeyError
    assert (slate(stack), queue.unfinished(stack.engine)) == (before, [])


# --- results and errors ---------------------------------------------------------------------------


def test_results_and_errors_are_the_same_the_first_time_and_from_the_store(
    install: Install,
) -> None:
    stack = install(**{"worker.retry_seconds": 1.0})
    _gate.set()
    with stack.working():
        stack.do(queue.enqueue, work("w1", "w1"))
        wait_for(lambda: "passed" in _seen)
        first = list(_seen)
        _gate.clear()
        _seen.clear()
        stack.do(queue.enqueue, work("w2", "w2"))
        wait_for(lambda: len(_seen) == 6)
    assert "passed" not in _seen, "the worker stopped at the gate"
    _seen.clear()
    _gate.set()
    with stack.working():
        wait_for(lambda: "passed" in _seen)
        wait_for(lambda: not queue.unfinished(stack.engine))
    replayed = list(_seen)
    assert replayed[0] == first[0] == (give(), {"x"})
    for one, other, kind in zip(first[1:5], replayed[1:5], ERRORS.values(), strict=True):
        for error in (one, other):
            assert type(error) is kind
            assert (error.message, error.details) == ("why", {"half": "made"})
    assert isinstance(first[5], KeyError)
    assert isinstance(replayed[5], Bug) and "what nobody meant" in replayed[5].message
    assert not isinstance(replayed[5], BackendError)


@pytest.mark.parametrize("committed", [False, True])
def test_a_step_is_done_once_although_the_database_fails_in_it(
    install: Install, committed: bool
) -> None:
    """Before the commit, or behind it, so that only the answer is lost."""
    failed = Event()

    def fail(conn: Connection) -> None:
        if conn.info.pop("is_counting", False) and not failed.is_set():
            failed.set()
            if committed:
                dbapi_connection: Any = conn.connection.dbapi_connection
                dbapi_connection.commit()
            raise OperationalError("COMMIT", None, Exception("the connection was lost"))

    stack = install()
    with stack.working() as worker:
        sa.event.listen(worker.engine, "commit", fail)
        stack.do(queue.enqueue, work("w1", "w1", name="counting"))
        wait_for(lambda: not queue.unfinished(stack.engine))
    assert failed.is_set()
    assert _seen == ["counted"] * (1 if committed else 2) + [1]


def test_how_work_ends_with_each_error(stack: Stack) -> None:
    _gate.set()
    for name in (*ERRORS, "bug"):
        stack.do(queue.enqueue, work(name, name))
    wait_for(lambda: not queue.unfinished(stack.engine))
    ended = {
        entry[1]: entry[2] for entry in _seen if isinstance(entry, tuple) and entry[0] == "ended"
    }
    told = {name: error("why").public_text("") for name, error in ERRORS.items()}
    assert ended == {**told, "bug": INTERNAL_ERROR}
    assert "why" not in "".join(told.values()), "the reason is for the log"


def test_a_worker_that_stops_fails_nothing_that_it_was_retrying(install: Install) -> None:
    stack = install(**{"worker.retry_seconds": 60.0})
    with stack.working():
        share_network = stack.share_network(*stack.network("10.1.0.0/24"))
        plan(stack, Fault(method="create_share", error="Unavailable"))
        id_ = stack.share(share_network)
        wait_for(lambda: struck(stack))
    assert share(stack, id_)["status"] == "creating"
    plan(stack)
    with stack.working():
        assert stack.settled_share(id_) == "available"
    assert told(stack) == []


@pytest.mark.parametrize(("seconds", "ends"), [(0.001, "available"), (0.0, "error")])
def test_a_call_that_took_all_the_time_is_tried_once_more(
    install: Install, seconds: float, ends: str
) -> None:
    stack = install(**{"worker.retry_seconds": seconds})
    with stack.working():
        share_network = stack.share_network(*stack.network("10.1.0.0/24"))
        plan(stack, Fault(method="create_share", error="Unavailable", times=1))
        assert stack.settled_share(stack.share(share_network)) == ends


# --- nothing is unpickled -------------------------------------------------------------------------


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def pickled(path: Path) -> str:
    return base64.b64encode(pickle.dumps(Payload(path))).decode()


def test_the_payload_would_work(tmp_path: Path) -> None:
    pickle.loads(base64.b64decode(pickled(tmp_path / "made")))
    assert (tmp_path / "made").exists()


def dbos(stack: Stack, table: str) -> str:
    return table if stack.engine.dialect.name == "sqlite" else f"dbos.{table}"


def poison(stack: Stack, tables: dict[str, str], where: str, payload: str, **values: str) -> int:
    """Rows changed in tables (table → column that takes the payload)."""
    changed = 0
    with begin(stack.engine) as conn:
        for table, column in tables.items():
            label = "" if table == "workflow_input" else ", serialization = 'py_pickle'"
            statement = (
                f"UPDATE {dbos(stack, table)} SET {column} = :payload{label} WHERE "
                f"{where.format(id=_ID)}"
            )
            changed += conn.execute(sa.text(statement), {"payload": payload, **values}).rowcount
    return changed


_ID = "workflow_uuid"


def status_of(stack: Stack, work_id: str) -> str:
    query = sa.text(
        f"SELECT status FROM {dbos(stack, 'workflow_status')} WHERE workflow_uuid = :id"
    )
    return str(stack.ask(lambda conn: conn.execute(query, {"id": work_id}).scalar()))


def test_arguments_labelled_as_pickle_are_never_read_and_other_work_goes_on(
    install: Install, tmp_path: Path
) -> None:
    stack = install()
    _gate.set()
    stack.do(queue.enqueue, work("bad", "bad"))
    assert (
        poison(
            stack,
            {"workflow_status": "inputs", "workflow_input": "inputs"},
            "{id} = :id",
            pickled(tmp_path / "made"),
            id="bad",
        )
        >= 2
    )
    stack.do(queue.enqueue, work("good", "good"))
    with stack.working():
        wait_for(lambda: "passed" in _seen)
        wait_for(lambda: status_of(stack, "bad") == "ERROR")
        share_network = stack.share_network(*stack.network("10.1.0.0/24"))
        available_share(stack, share_network)
    assert _seen.count("passed") == 1
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("method", ["create_share", "setup_server"])
def test_results_labelled_as_pickle_are_never_read(
    install: Install, tmp_path: Path, method: str
) -> None:
    stack = install(**{"worker.retry_seconds": 60.0})
    with stack.working():
        share_network = stack.share_network(*stack.network("10.1.0.0/24"))
        plan(stack, Fault(method=method, error="Unavailable"))
        id_ = stack.share(share_network)
        wait_for(lambda: struck(stack))
    (work_id,) = queue.unfinished(stack.engine)
    last = sa.text(
        f"SELECT max(function_id) FROM {dbos(stack, 'operation_outputs')} WHERE workflow_uuid = "
        ":id AND output IS NOT NULL"
    )
    number = int(stack.ask(lambda conn: conn.execute(last, {"id": work_id}).scalar()) or 0)
    where = f"{{id}} = :id AND function_id = {number}"
    assert (
        poison(
            stack, {"operation_outputs": "output"}, where, pickled(tmp_path / "made"), id=work_id
        )
        == 1
    )
    plan(stack)
    with stack.working():
        assert stack.settled_share(id_) == "error"
        wait_for(lambda: status_of(stack, work_id) == "ERROR")
    assert told(stack) == [INTERNAL_ERROR]
    assert not (tmp_path / "made").exists()


# --- work that is given up ------------------------------------------------------------------------


def test_work_that_was_begun_too_often_is_ended_and_told(install: Install) -> None:
    stack = install(unused_share_server_cleanup_interval=1)
    with stack.working():
        share_network = stack.share_network(*stack.network("10.1.0.0/24"))
        kept = available_share(stack, share_network)
    id_ = stack.share(share_network)
    stack.do(shares.extend, ADMIN, kept, 5)
    table = dbos(stack, "workflow_status")
    stack.do(
        lambda conn: conn.execute(
            sa.text(f"UPDATE {table} SET recovery_attempts = 1000 WHERE status = 'ENQUEUED'")
        )
    )
    with stack.working():
        assert stack.settled_share(id_) == "error"
        assert stack.settled_share(kept) == "extending_error"
        assert told(stack) == [GAVE_UP, GAVE_UP]
        wait_for(lambda: not queue.unfinished(stack.engine))
        assert share(stack, kept)["size"] == 1
        assert set(slate(stack)["claimed"].values()) == {2}
        for one in (id_, kept):
            stack.do(shares.delete, ADMIN, one)
            assert stack.settled_share(one) == "gone", "its key is free again"
