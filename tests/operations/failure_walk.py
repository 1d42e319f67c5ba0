"""Let a step of a workflow fail and look at what becomes of it: the work ends, nothing stays in
between, people are told, and when all is deleted nothing is left over.

Any scene of `scenarios` can be failed so, on any back end: what is compared is given by whoever
walks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import messages
from abaca.domain.rows import states
from abaca.errors import BACKEND_ERRORS
from abaca.workflow import queue
from abaca.workflow.crash_points import FAILURE
from tests.operations.scenarios import SCENARIOS, Ground, workflow_of
from tests.operations.scene import INTERNAL, all_servers, told
from tests.stack import Stack, environment, wait_for
from tests.walk_report import REPORT

BUG = "bug"
NOUNS = (
    states.SHARE_NETWORK,
    states.SHARE_SERVER,
    states.SHARE,
    states.SHARE_GROUP,
    states.SHARE_GROUP_SNAPSHOT,
    states.SNAPSHOT,
    states.BACKUP,
    states.ACCESS_RULES,
    states.ACCESS_RULE,
    states.SNAPSHOT_ACCESS_RULE,
)
# Asked for by administrators, who find the reason in the log; what somebody waits for who is
# answered at once; and what is tried again by itself, of what its project has given up.
_SILENT = {
    "service_ensure_shares",
    "share_server_clients",
    "share_delete_of_another_kind",
    "snapshot_delete_of_another_kind",
}

Place = tuple[int, str, str]  # number of the step, before or inside, error


class FailureWalk:
    """`where`: as `walk.WHERE` has it. `slate()`: all that may be left over, comparable.
    `patience`: seconds that work may take.

    The worker runs in this process.
    """

    def __init__(
        self,
        ground: Ground,
        where: str,
        scenario: str,
        slate: Callable[[], dict[str, Any]],
        patience: float = 20.0,
    ) -> None:
        self._ground = ground
        self._where = where
        self._scenario = scenario
        self._slate = slate
        self._patience = patience
        ground.share()
        ground.wipe()  # what is made once for all stays: counters, zones
        self._before = slate()

    def undisturbed(self, log: Path) -> list[str]:
        """The names of the workflow's steps when nothing fails, written to `log` meanwhile; those
        that reach outside end with `+`."""
        workflow, ask = workflow_of(self._scenario), SCENARIOS[self._scenario](self._ground)
        with environment(ABACA_STEP_LOG=str(log)):
            ask()
            self._idle()
        lines = log.read_text().splitlines()
        assert unsettled(self._ground.stack) == []
        self._wipe("nothing failed")
        steps = list(
            dict.fromkeys(
                line.partition("/")[2] for line in lines if line.startswith(f"{workflow}/")
            )
        )
        REPORT.walked(workflow, steps)
        return steps

    def fail(self, steps: list[str], place: Place) -> None:
        """Let it fail there."""
        with REPORT.trying("failures", self._where):
            self._fail(steps, place)

    def _fail(self, steps: list[str], place: Place) -> None:
        number, moment, error = place
        stack, ask = self._ground.stack, SCENARIOS[self._scenario](self._ground)
        stack.do(lambda conn: conn.execute(sa.delete(messages)))
        with environment(ABACA_FAIL_AT=f"{workflow_of(self._scenario)}/{number}/{moment}/{error}"):
            ask()
            self._idle()
        place_name = f"{error} {moment} step {steps[number - 1]}"
        assert unsettled(stack) == [], place_name
        new, wanted = reasons(stack), INTERNAL if error == BUG else FAILURE
        assert self._scenario in _SILENT or any(wanted in text for text in new), (
            f"{place_name}: {new}"
        )
        self._wipe(place_name)

    def _idle(self) -> None:
        idle(self._ground.stack, self._patience)

    def _wipe(self, place_name: str) -> None:
        self._ground.wipe()
        after = self._slate()
        different = {
            what: (self._before.get(what), found)
            for what, found in after.items()
            if found != self._before.get(what)
        }
        assert not different and after.keys() == self._before.keys(), f"{place_name}: {different}"


def places(steps: list[str]) -> list[Place]:
    """A back end's errors at what reaches outside, bugs everywhere."""
    found = []
    for number, step in enumerate(steps, 1):
        for error in [*(BACKEND_ERRORS if step.endswith("+") else ()), BUG]:
            found += [(number, moment, error) for moment in ("before", "inside")]
    return found


def idle(stack: Stack, seconds: float = 20.0) -> None:
    """Nothing is being done any more."""
    wait_for(lambda: not queue.unfinished(stack.engine), seconds)


def unsettled(stack: Stack) -> list[str]:
    """Statuses that say that something goes on."""

    def found(conn: Connection) -> list[str]:
        columns = [noun.table.c[noun.column] for noun in NOUNS]
        return [
            f"{column}: {status}"
            for column in columns
            for status in conn.scalars(sa.select(column))
            if status in states.IN_PROGRESS
        ]

    return stack.ask(found)


def reasons(stack: Stack) -> list[str]:
    """What people are told: the project by messages, administrators by the share server as well."""
    return [
        *told(stack),
        *(server.status_reason for server in all_servers(stack) if server.status_reason),
    ]
