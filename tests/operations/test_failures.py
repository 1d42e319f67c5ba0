"""Every step of every workflow fails, with each kind of error, before and after its effect: the work ends, nothing stays in between, the
project is told, and when all is deleted nothing is left over. A share of the places a day; all of them with `make walk`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import messages, share_network_checks
from abaca.domain import states
from abaca.errors import BACKEND_ERRORS
from abaca.operations.all import WORKFLOWS
from abaca.workflow import inspection, queue
from abaca.workflow.crash_points import FAILURE
from abaca.workflow.steps import ENDINGS
from tests.operations.conftest import Install
from tests.operations.scenarios import SCENARIOS, Ground, workflow_of
from tests.operations.scene import INTERNAL, all_servers, slate, told
from tests.stack import Stack, wait_for
from tests.walk import DONE, sample

BUG = "bug"
SILENT = {"service_ensure_shares"}  # asked for by administrators, who find the reason in the log
NOUNS = (states.SHARE_NETWORK, states.SHARE_SERVER, states.SHARE, states.SNAPSHOT, states.ACCESS_RULES, states.ACCESS_RULE)

Place = tuple[int, str, str]  # number of the step, before or inside, error


@pytest.fixture
def ground(install: Install) -> Iterator[Ground]:
    stack = install(**{"worker.retry_seconds": 0.15})
    with stack.working():
        yield Ground(stack)


def unsettled(stack: Stack) -> list[str]:
    """Statuses that say that something goes on."""

    def found(conn: Connection) -> list[str]:
        columns = [noun.table.c[noun.column] for noun in NOUNS]
        return [f"{column}: {status}" for column in columns for status in conn.scalars(sa.select(column)) if status in states.PASSING]

    return stack.ask(found)


def reasons(stack: Stack) -> list[str]:
    """What people are told: the project by messages, administrators by the share server as well."""
    return [*told(stack), *(server.status_reason for server in all_servers(stack) if server.status_reason)]


def idle(stack: Stack) -> None:
    wait_for(lambda: not queue.unfinished(stack.engine))


def places(steps: list[str]) -> list[Place]:
    """A back end's errors at what reaches outside, bugs everywhere."""
    found = []
    for number, step in enumerate(steps, 1):
        for error in [*(BACKEND_ERRORS if step.endswith("+") else ()), BUG]:
            found += [(number, moment, error) for moment in ("before", "inside")]
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_failure_anywhere_is_told_and_leaves_nothing(ground: Ground, scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, workflow = ground.stack, workflow_of(scenario)
    ground.share()
    ground.wipe()  # what is made once for all stays: counters, zones
    before = slate(stack)

    monkeypatch.setenv("ABACA_STEP_LOG", str(tmp_path / "steps"))
    ask = SCENARIOS[scenario](ground)
    (tmp_path / "steps").unlink(missing_ok=True)
    ask()
    idle(stack)
    monkeypatch.delenv("ABACA_STEP_LOG")
    lines = (tmp_path / "steps").read_text().splitlines()
    steps = list(dict.fromkeys(line.partition("/")[2] for line in lines if line.startswith(f"{workflow}/")))
    assert len(steps) >= 2
    assert unsettled(stack) == []
    ground.wipe()
    assert slate(stack) == before, "nothing failed"

    for number, moment, error in sample(places(steps)):
        ask = SCENARIOS[scenario](ground)
        stack.do(lambda conn: conn.execute(sa.delete(messages)))
        monkeypatch.setenv("ABACA_FAIL_AT", f"{workflow}/{number}/{moment}/{error}")
        ask()
        idle(stack)
        monkeypatch.delenv("ABACA_FAIL_AT")
        DONE["failures"] += 1
        where = f"{error} {moment} step {steps[number - 1]}"
        assert unsettled(stack) == [], where
        new = reasons(stack)
        wanted = INTERNAL if error == BUG else FAILURE
        assert scenario in SILENT or any(wanted in text for text in new), f"{where}: {new}"
        ground.wipe()
        assert slate(stack) == before, where


def test_every_workflow_has_a_scenario() -> None:
    assert {workflow_of(scenario) for scenario in SCENARIOS} == {workflow.__name__ for workflow in WORKFLOWS}


def fail_to_end(_conn: Connection, *_args: str) -> None:
    raise KeyError("a bug in an ending")


@pytest.mark.timeout(300)
def test_although_its_ending_has_a_bug_too_nothing_stays_in_between(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = ground.stack
    ground.share()
    ground.wipe()
    before = slate(stack)
    for scenario, scene in SCENARIOS.items():
        workflow = workflow_of(scenario)
        ask = scene(ground)
        with monkeypatch.context() as patch:
            patch.setitem(ENDINGS, workflow, fail_to_end)
            patch.setenv("ABACA_FAIL_AT", f"{workflow}/2/inside/{BUG}")
            ask()
            idle(stack)
        assert unsettled(stack) == [], scenario
        assert any(operation.name == workflow and operation.state == "parked" for operation in inspection.find(stack.engine)), scenario
        stack.do(lambda conn: conn.execute(sa.delete(share_network_checks)))  # one that has no answer is asked anew when it has expired
        ground.wipe()
        assert slate(stack) == before, scenario
