"""/operations: the work of workers that waits, runs or has not ended well. An extension, which
Manila does not have."""

from __future__ import annotations

from typing import Any

import msgspec

from abaca.api.call import Call
from abaca.api.declaration import Resource, Route, action, admin, many
from abaca.api.wire.operations import OPERATION
from abaca.db.session import begin, read
from abaca.domain.recovery import parked_work
from abaca.errors import Invalid
from abaca.workflow import unfinished
from abaca.workflow.figures import STATES


def index(call: Call) -> dict[str, Any]:
    """GET /operations, the oldest first, a thousand at most. `state`: waiting, running, parked,
    given up; several with commas between."""
    states = [state for state in call.query.get("state", "").split(",") if state]
    known = sorted({*STATES.values()})
    if unknown := set(states).difference(known):
        raise Invalid(f"{min(unknown)} is no state of operations; they are {', '.join(known)}.")
    with read(call.engine) as conn:
        found = unfinished.find(conn, states)
    return call.many("operations", OPERATION, [msgspec.structs.asdict(work) for work in found])


def resume(call: Call, operation_id: str) -> None:
    """Action resume of one that is parked or was given up."""
    with begin(call.engine) as conn:
        parked_work.resume(conn, operation_id)


_ALL = "/v2/operations"

RESOURCE = Resource(
    routes=[
        Route(
            "GET",
            _ALL,
            index,
            admin("operation:index"),
            gives=many("operations", OPERATION),
            query=("state",),
            is_extension=True,
        ),
        action(
            f"{_ALL}/{{operation_id}}/action",
            "resume",
            resume,
            admin("operation:resume"),
            is_extension=True,
        ),
    ],
)
