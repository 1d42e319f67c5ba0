"""Every step of every workflow fails, with each kind of error, before and after its effect: the
work ends, nothing stays in between, the project is told, and when all is deleted nothing is left
over. A sample of the places; all of them with `make walk`.

On the fake back end; the Linux one is in `test_failures_linux`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import client_inquiries, share_network_checks
from abaca.operations.all import WORKFLOWS
from abaca.workflow import inspection
from abaca.workflow.steps import ENDINGS
from tests.operations.conftest import Install
from tests.operations.failure_walk import BUG, FailureWalk, idle, places, unsettled
from tests.operations.scenarios import SCENARIOS, Ground, workflow_of
from tests.operations.scene import slate
from tests.sample import sample
from tests.stack import environment
from tests.walk import where

pytestmark = pytest.mark.sampled_file(4)

ONE_OF = 20


@pytest.fixture
def ground(install: Install) -> Iterator[Ground]:
    stack = install(**{"worker.retry_seconds": 0.15})
    with stack.working():
        yield Ground(stack)


@pytest.mark.sampled(8)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_failure_anywhere_is_told_and_leaves_nothing(
    ground: Ground, scenario: str, tmp_path: Path
) -> None:
    walk = FailureWalk(
        ground, where(str(ground.stack.engine.url)), scenario, lambda: slate(ground.stack)
    )
    steps = walk.undisturbed(tmp_path / "steps")
    assert len(steps) >= 2
    for place in sample(places(steps), ONE_OF):
        walk.fail(steps, place)


def test_every_workflow_has_a_scenario() -> None:
    # those between two hosts are walked and failed in test_share_server_moves
    of_two_hosts = {"share_server_arrive", "share_server_depart"}
    assert {workflow_of(scenario) for scenario in SCENARIOS} | of_two_hosts == {
        workflow.__name__ for workflow in WORKFLOWS
    }


def fail_to_end(_conn: Connection, *_args: str) -> None:
    raise KeyError("a bug in an ending")


@pytest.mark.timeout(300)
def test_although_its_ending_has_a_bug_too_nothing_stays_in_between(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = ground.stack
    ground.share()
    ground.wipe()
    before = slate(stack)
    for scenario, scene in sample(list(SCENARIOS.items()), 6):
        workflow = workflow_of(scenario)
        ask = scene(ground)
        with (
            monkeypatch.context() as patch,
            environment(ABACA_FAIL_AT=f"{workflow}/2/inside/{BUG}"),
        ):
            patch.setitem(ENDINGS, workflow, fail_to_end)
            ask()
            idle(stack)
        assert unsettled(stack) == [], scenario
        assert any(
            operation.name == workflow and operation.state == "parked"
            for operation in inspection.find(stack.engine)
        ), scenario
        # one that has no answer is asked anew when it has expired
        stack.do(lambda conn: conn.execute(sa.delete(share_network_checks)))
        stack.do(lambda conn: conn.execute(sa.delete(client_inquiries)))
        ground.wipe()
        assert slate(stack) == before, scenario
