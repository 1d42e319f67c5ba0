"""The id of a request goes with its work: into every line that the worker logs for it, and into
what the project is told."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from abaca import config, log_context
from abaca.domain.rows import messages
from abaca.domain.shares import shares
from abaca.values import Page
from abaca.workflow import inspection, queue
from tests.operations.conftest import Install
from tests.operations.scene import (
    allow,
    available_share,
    failing,
    instance_of,
    plan,
    server_of,
    settled_rules,
)
from tests.stack import MEMBER, Stack, WorkerProcess, wait_for

REQUEST = "req-5f0a3c1e-0000-4000-8000-000000000001"


class Lines(logging.Handler):
    """What is logged from now on: (prefix, message)."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append((log_context.prefix(), record.getMessage()))

    def about(self, words: str) -> list[str]:
        return [prefix for prefix, message in self.seen if words in message]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("abaca")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def by_request(stack: Stack, function: Any, *args: Any, **more: Any) -> Any:
    with log_context.working_for(REQUEST):
        return stack.do(function, *args, **more)


def told(stack: Stack) -> list[dict[str, Any]]:
    return stack.ask(messages.LISTING.find, MEMBER, {}, Page())


def test_lines_of_a_worker_name_request_share_server_and_network(
    stack: Stack, lines: Lines
) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    share = available_share(stack, network)
    by_request(stack, shares.extend, MEMBER, share, 2)
    assert stack.settled_share(share) == "available"
    wait_for(lambda: lines.about("share_extend("))
    (prefix,) = lines.about("share_extend(")
    instance, server = instance_of(stack, share).id, server_of(stack, share)
    assert prefix == (
        f"[{REQUEST} share={share} share_instance={instance} share_server={server} "
        f"share_network={network}] "
    )
    wait_for(lambda: lines.about("share_create("))
    (prefix,) = lines.about("share_create(")
    assert prefix.startswith(f"[share={share} ")  # nobody's request


def test_a_failure_is_logged_and_told_with_the_request(stack: Stack, lines: Lines) -> None:
    network = stack.share_network(*stack.network("10.1.0.0/24"))
    share = available_share(stack, network)
    plan(stack, failing("extend_share", "Refused"))
    by_request(stack, shares.extend, MEMBER, share, 2)
    assert stack.settled_share(share) == "extending_error"
    assert [message["request_id"] for message in told(stack)] == [REQUEST]
    assert all(
        prefix.startswith(f"[{REQUEST} share={share} ") for prefix in lines.about("share_extend(")
    )
    assert len(lines.about("failed: ")) == 1


def test_what_a_call_of_a_driver_logs_names_the_request(stack: Stack, lines: Lines) -> None:
    """It runs in a thread of its own."""
    share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    plan(stack, failing("extend_share", "bug"))
    with log_context.working_for(REQUEST):
        stack.do(shares.extend, MEMBER, share, 2)
    assert stack.settled_share(share) == "extending_error"
    wait_for(lambda: lines.about("is parked"))
    assert all(prefix.startswith(f"[{REQUEST} ") for prefix in lines.about("is parked"))


def test_work_that_is_taken_up_after_a_kill_keeps_its_request(install: Install) -> None:
    """The worker dies in the middle of the call; the one that follows goes on for the same request,
    and tells so."""
    stack = install()
    with stack.working():
        share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
    by_request(stack, shares.extend, MEMBER, share, 2)
    faults = str(Path(stack.conf.state_dir, "alpha.faults"))
    crash = {"ABACA_CRASH_AT": "share_extend/2/inside"}
    url = config.database_url(stack.conf)
    worker = WorkerProcess(
        Path(stack.conf.state_dir), url, {"alpha": {"fault_plan": faults}}, crash
    )
    try:
        wait_for(lambda: worker.exit_code is not None, 60)
        assert worker.exit_code == -signal.SIGKILL
    finally:
        worker.kill()
    plan(stack, failing("extend_share", "Refused"))
    with stack.working():
        assert stack.settled_share(share) == "extending_error"
    assert [message["request_id"] for message in told(stack)] == [REQUEST]


def test_work_that_an_administrator_gives_up_or_resumes_keeps_its_request(install: Install) -> None:
    stack = install()
    with stack.working():
        share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
        plan(stack, failing("update_access", "bug"))
        with log_context.working_for(REQUEST):
            allow(stack, share, "10.9.9.9")
        assert settled_rules(stack, share) == "error"
        wait_for(lambda: inspection.find(stack.engine)[0].state == "parked")
    (parked,) = inspection.find(stack.engine)
    assert parked.request_id == REQUEST
    inspection.resume(stack.engine, parked.id)
    (waiting,) = inspection.find(stack.engine)
    assert (waiting.state, waiting.request_id) == ("waiting", REQUEST)
    inspection.abandon(stack.engine, waiting.id)
    assert {message["request_id"] for message in told(stack)} == {REQUEST}


@pytest.mark.parametrize(
    "forged", ["req-1", "req-\n", f"{REQUEST}\nINFO all is well", "x" * 10_000]
)
def test_an_id_that_is_none_is_not_believed(forged: str) -> None:
    """What lies in a row of work may have been written by anybody who writes to the database."""
    assert queue.request_of([forged]) == ""
    assert queue.request_of([REQUEST]) == REQUEST
    assert queue.request_of(None) == queue.request_of([]) == ""
