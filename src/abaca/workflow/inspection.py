"""Looking at work from outside of a worker: what waits, runs or was parked, at which step; and giving it up."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.errors import Conflict, Missing
from abaca.values import Value
from abaca.workflow.queue import client
from abaca.workflow.steps import ENDINGS

ABANDONED = "The administrator has given the operation up."
_MOST = 1000
_STATES = {"ENQUEUED": "waiting", "DELAYED": "waiting", "PENDING": "running", "ERROR": "parked", "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "parked"}


class Operation(Value):
    """One piece of work. `state`: waiting, running or parked; `since`: UTC without zone; `reason`: why it is parked."""

    id: str
    name: str
    args: list[str]
    state: str
    worker_host: str
    since: datetime
    attempts: int
    reason: str | None


class Step(Value):
    """A step that is recorded. `error`: what it let out."""

    number: int
    name: str
    ended: datetime | None
    error: str | None


def find(engine: Engine) -> list[Operation]:
    """All work that has not ended well, the oldest first; at most a thousand pieces."""
    rows = client(engine).list_workflows(status=list(_STATES), limit=_MOST, load_output=False)
    return [
        Operation(
            id=row.workflow_id,
            name=row.name,
            args=[str(argument) for argument in (row.input or {"args": ()})["args"]],
            state=_STATES[row.status],
            worker_host=(row.queue_name or "").removeprefix("host-"),
            since=_moment(row.created_at or 0),
            attempts=row.recovery_attempts or 0,
            reason=str(row.error) if row.error else None,
        )
        for row in rows
    ]


def get(engine: Engine, operation_id: str) -> Operation:
    """One of them. Missing when there is no such work, or it has ended well."""
    for operation in find(engine):
        if operation.id == operation_id:
            return operation
    raise Missing(f"There is no operation {operation_id} that waits, runs or is parked.")


def steps(engine: Engine, operation_id: str) -> list[Step]:
    """The steps recorded so far."""
    return [
        Step(
            number=number,
            name=step["function_name"],
            ended=_moment(step["completed_at_epoch_ms"]) if step["completed_at_epoch_ms"] else None,
            error=str(step["error"]) if step["error"] else None,
        )
        for number, step in enumerate(client(engine).list_workflow_steps(operation_id), 1)
    ]


def abandon(engine: Engine, operation_id: str) -> None:
    """Give work up that waits or runs: it starts no further step, and its nouns go to their error states.

    Conflict for work that is parked: its nouns are in their error states already.
    """
    operation = get(engine, operation_id)
    if operation.state == "parked":
        raise Conflict(f"The operation {operation_id} is parked: it has ended already.")
    client(engine).cancel_workflow(operation_id)
    with begin(engine) as conn:
        ENDINGS[operation.name](conn, *operation.args, ABANDONED)


def _moment(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).replace(tzinfo=None)
