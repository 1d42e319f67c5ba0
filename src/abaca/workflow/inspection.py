"""Work as seen from outside of a worker: list what waits, runs, is parked or was given up, with its
steps; abandon and resume it."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from dbos import WorkflowStatus
from sqlalchemy.engine import Engine

from abaca import log_context
from abaca.db.session import begin, read
from abaca.errors import CallerError, Conflict, Missing
from abaca.values import Value
from abaca.workflow.dbos_database import client
from abaca.workflow.figures import STATES, moment
from abaca.workflow.queue import queue_name, request_of, status_table
from abaca.workflow.steps import OUTGROWN, RESUMPTIONS, end_outside

_LOG = logging.getLogger(__name__)

ABANDONED = "The administrator has given the operation up."
UNREADABLE = (
    "Its arguments could not be read, so nothing was done: set the status of what it is "
    "about by hand."
)
_MOST = 1000
_ENDED = ("parked", "given up")
_NONSENSE = (TypeError, ValueError, RecursionError)


class Operation(Value):
    """One piece of work. `about`: the id of the resource it works on (share instance, share server,
    …). `args`: None if they cannot be read. `state`: waiting, running, parked (it failed on its
    own) or given up (by the administrator, or because it was begun too often or is unknown to this
    release). `since`: UTC without zone. `reason`: why it is parked. `request_id`: of the request
    that caused it, or empty."""

    id: str
    name: str
    about: str
    args: list[str] | None
    state: str
    worker_host: str
    since: datetime
    attempts: int
    reason: str | None
    request_id: str


class Step(Value):
    """A recorded step. `error`: the error that it raised."""

    number: int
    name: str
    ended: datetime | None
    error: str | None


def find(engine: Engine) -> list[Operation]:
    """All work that has not succeeded, the oldest first, at most a thousand. A row that cannot be
    read does not hide others."""
    try:
        return [
            _operation(row)
            for row in client(engine).list_workflows(status=list(STATES), limit=_MOST)
        ]
    except _NONSENSE:  # DBOS takes all rows apart, and gives none when one is that
        with read(engine) as conn:
            status = status_table(conn)
            rows = conn.execute(
                sa.select(status)
                .where(status.c.status.in_(STATES))
                .order_by(status.c.created_at)
                .limit(_MOST)
            ).all()
        return [_operation_or_what_is_left(engine, row) for row in rows]


def get(engine: Engine, operation_id: str) -> Operation:
    """One piece of work. Raises Missing if there is none, or it succeeded."""
    with read(engine) as conn:
        status = status_table(conn)
        row = conn.execute(
            sa.select(status).where(
                status.c.workflow_uuid == operation_id, status.c.status.in_(STATES)
            )
        ).first()
    if row is None:
        raise Missing(f"No operation {operation_id} is waiting, running, parked or given up.")
    return _operation_or_what_is_left(engine, row)


def steps(engine: Engine, operation_id: str) -> list[Step]:
    """The steps recorded so far."""
    return [
        Step(
            number=number,
            name=step["function_name"],
            ended=moment(step["completed_at_epoch_ms"]) if step["completed_at_epoch_ms"] else None,
            error=str(step["error"]) if step["error"] else None,
        )
        for number, step in enumerate(client(engine).list_workflow_steps(operation_id), 1)
    ]


def abandon(engine: Engine, operation_id: str) -> None:
    """Give up work that waits or runs: it starts no further step, and its resources go to their
    error states.

    Raises Conflict for work that has already ended, and for work whose arguments cannot be read,
    which its worker parks.
    """
    operation = get(engine, operation_id)
    if operation.state in _ENDED or operation.args is None:
        raise Conflict(
            f"The operation {operation_id} is "
            f"{operation.state}{': it has ended already' if operation.state in _ENDED else ''}."
        )
    client(engine).cancel_workflow(operation_id)
    with log_context.working_for(operation.request_id):
        end_outside(engine, operation.name, operation.args, ABANDONED)


def resume(engine: Engine, operation_id: str) -> None:
    """Restart work that is parked or was given up, as new work on the same resources, from its
    first step. The old record is deleted.

    Raises Conflict, and changes nothing, if the work has not ended, its resources have changed
    since, later work was done on them, or it is of a kind that is requested again instead.
    """
    operation = get(engine, operation_id)
    if operation.state not in _ENDED:
        raise Conflict(
            f"The operation {operation_id} is {operation.state}: it does not need to be resumed."
        )
    if operation.args is None:
        raise Conflict(f"The operation {operation_id} cannot be resumed. {UNREADABLE}")
    again = RESUMPTIONS.get(operation.name)
    if again is None:
        raise Conflict(f"{operation.name} cannot be resumed; repeat the request that started it.")
    # Times are whole seconds on SQLite; what was begun within the same one is left to the nouns'
    # statuses.
    later = client(engine).list_workflows(
        start_time=_text(operation.since), load_input=False, load_output=False
    )
    for other in later:
        if _about(other) == operation.about and moment(other.created_at) > operation.since:
            raise Conflict(f"A later operation works on the same resource: {other.workflow_id}.")
    with log_context.working_for(operation.request_id), begin(engine) as conn:
        again(conn, *operation.args)
    client(engine).delete_workflow(operation_id)


def resume_outgrown(engine: Engine, worker_host: str) -> None:
    """Resume the work of this host that was parked because older code had begun it; skip it if its
    resources have changed since."""
    for row in client(engine).list_workflows(
        status="ERROR", queue_name=queue_name(worker_host), limit=_MOST, load_input=False
    ):
        if str(row.error) == OUTGROWN:
            with suppress(CallerError):
                resume(engine, row.workflow_id)
                _LOG.info("%s is resumed by this release", row.workflow_id)


def _operation(row: WorkflowStatus) -> Operation:
    stored: Any = row.input  # text, not its content, when it cannot be read
    is_readable = isinstance(stored, dict) and isinstance(stored.get("args"), list | tuple)
    return Operation(
        id=row.workflow_id,
        name=str(row.name),
        about=_about(row),
        args=[str(argument) for argument in stored["args"]] if is_readable else None,
        state=STATES[row.status],
        worker_host=(row.queue_name or "").removeprefix("host-") or row.executor_id or "",
        since=moment(row.created_at),
        attempts=row.recovery_attempts or 0,
        reason=(str(row.error) if row.error else None) if is_readable else UNREADABLE,
        request_id=request_of(row.authenticated_roles),
    )


def _operation_or_what_is_left(engine: Engine, row: sa.Row[Any]) -> Operation:
    """`row`: of `status_table`."""
    with suppress(*_NONSENSE):
        for readable in client(engine).list_workflows(workflow_ids=[row.workflow_uuid]):
            return _operation(readable)
    return Operation(
        id=str(row.workflow_uuid),
        name=str(row.name),
        about="",
        args=None,
        state=STATES[row.status],
        worker_host=str(row.queue_name or "").removeprefix("host-"),
        since=moment(row.created_at),
        attempts=0,
        reason=UNREADABLE,
        request_id="",
    )


def _about(row: WorkflowStatus) -> str:
    """Ids of work are made of its name, what it is about, and more."""
    return str(row.workflow_id).split(":")[1] if ":" in row.workflow_id else ""


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=UTC).isoformat()
