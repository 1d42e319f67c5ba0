"""Work that has not succeeded, read from DBOS's tables without its engine: for the API, which only
looks, and for what it resumes.

What cannot be read is shown as that: whoever may write these rows is not trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import whatever_text
from abaca.errors import Missing
from abaca.values import Value
from abaca.workflow.figures import STATES, moment
from abaca.workflow.queue import (
    input_table,
    output_table,
    queue_name,
    request_of,
    status_table,
    steps_table,
)

ENDED = ("parked", "given up")
MOST = 1000
_LONGEST_REASON = 2000
_LONGEST_NAME = 200
# RecursionError: brackets without end
_UNREADABLE = (msgspec.DecodeError, msgspec.ValidationError, TypeError, RecursionError)


class UnfinishedWork(Value):
    """One piece of work. `about`: the id of the resource it works on. `state`: waiting, running,
    parked or given up. `since`: UTC without zone. `last_step`: the name of the newest step that is
    recorded as done; None: there is none. `reason`: why it is parked. `request_id`: of the request
    that caused it, or empty."""

    id: str
    name: str
    about: str
    state: str
    worker_host: str
    project_id: str
    since: datetime
    attempts: int
    last_step: str | None
    reason: str | None
    request_id: str


def find(conn: Connection, states: Sequence[str] = ()) -> list[UnfinishedWork]:
    """Work in these states (empty: in all), the oldest first, at most `MOST`."""
    status = status_table(conn)
    words = [word for word, state in STATES.items() if not states or state in states]
    query = (
        _of_work(conn)
        .where(status.c.status.in_(words))
        .order_by(status.c.created_at, status.c.workflow_uuid)
        .limit(MOST)
    )
    with whatever_text(conn):
        return [_shown(row) for row in conn.execute(query)]


def lock(conn: Connection, operation_id: str) -> UnfinishedWork:
    """One piece of work, its row held. Raises Missing if there is none, or it succeeded."""
    status = status_table(conn)
    is_it = status.c.workflow_uuid == operation_id
    conn.execute(sa.select(status.c.workflow_uuid).where(is_it).with_for_update())
    with whatever_text(conn):
        row = conn.execute(_of_work(conn).where(is_it, status.c.status.in_(STATES))).first()
    if row is None:
        raise Missing(f"No operation {operation_id} is waiting, running, parked or given up.")
    return _shown(row)


def arguments(conn: Connection, operation_id: str) -> list[str] | None:
    """What the work was begun with; None if that cannot be read."""
    table = input_table(conn)
    with whatever_text(conn):
        stored = conn.scalar(sa.select(table.c.inputs).where(table.c.workflow_uuid == operation_id))
    try:
        return msgspec.convert(msgspec.json.decode(stored or "")["args"], list[str])
    except (*_UNREADABLE, LookupError):
        return None


def later_on_the_same(conn: Connection, work: UnfinishedWork) -> str | None:
    """The id of work on the same resource that was begun after that, if there is any."""
    status = status_table(conn)
    of_the_same = status.c.workflow_uuid.contains(f":{work.about}", autoescape=True)
    created = (
        sa.select(status.c.created_at).where(status.c.workflow_uuid == work.id).scalar_subquery()
    )
    later = sa.select(status.c.workflow_uuid).where(of_the_same, status.c.created_at > created)
    with whatever_text(conn):
        found = conn.scalars(later).all()
    return next((id_ for id_ in found if about(id_) == work.about), None)


def forget(conn: Connection, operation_id: str) -> None:
    """Delete the record, with its arguments and steps."""
    tables = (input_table, output_table, steps_table, status_table)
    for table in [one(conn) for one in tables]:
        conn.execute(sa.delete(table).where(table.c.workflow_uuid == operation_id))


def about(operation_id: str) -> str:
    """Ids of work are made of its name, what it is about, and more."""
    return operation_id.split(":")[1] if ":" in operation_id else ""


def _of_work(conn: Connection) -> sa.Select[Any]:
    """Errors are stored apart; releases of the engine before kept them with the work."""
    status, output, steps = status_table(conn), output_table(conn), steps_table(conn)
    reason = sa.func.coalesce(output.c.error, status.c.error).label("reason")
    last_step = (
        sa.select(steps.c.function_name)
        .where(steps.c.workflow_uuid == status.c.workflow_uuid)
        .order_by(steps.c.function_id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return sa.select(status, reason, last_step.label("last_step")).outerjoin(
        output, output.c.workflow_uuid == status.c.workflow_uuid
    )


def _shown(row: sa.Row[Any]) -> UnfinishedWork:
    return UnfinishedWork(
        id=str(row.workflow_uuid),
        name=str(row.name),
        about=about(str(row.workflow_uuid)),
        state=STATES[row.status],
        worker_host=str(row.queue_name or "").removeprefix(queue_name("")),
        project_id=str(row.authenticated_user or ""),
        since=moment(row.created_at),
        attempts=row.recovery_attempts or 0,
        last_step=row.last_step and str(row.last_step)[:_LONGEST_NAME],
        reason=_reason(row.reason),
        request_id=_request(row.authenticated_roles),
    )


def _reason(stored: Any) -> str | None:
    if not stored:
        return None
    try:
        text = str(msgspec.json.decode(stored)["error"]["message"])
    except (*_UNREADABLE, LookupError):
        text = str(stored)
    return text[:_LONGEST_REASON]


def _request(stored: Any) -> str:
    try:
        roles = msgspec.convert(msgspec.json.decode(stored or "null"), list[str] | None)
    except _UNREADABLE:
        return ""
    return request_of(roles)
