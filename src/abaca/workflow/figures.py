"""How much work there is: for metrics, and for processes that do no work."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.values import Value
from abaca.workflow.queue import status_table

STATES = {
    "ENQUEUED": "waiting",
    "DELAYED": "waiting",
    "PENDING": "running",
    "ERROR": "parked",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "parked",
    "CANCELLED": "given up",
}
"""DBOS's word → ours, for work that has not ended well."""


class Count(Value):
    """The number of pieces of work of one kind, and the age of the oldest in seconds."""

    number: int
    oldest_seconds: float


def count(conn: Connection) -> dict[tuple[str, str], Count]:
    """(name, state) → work that has not succeeded, in one statement."""
    status = status_table(conn)
    query = sa.select(
        status.c.name, status.c.status, sa.func.count(), sa.func.min(status.c.created_at)
    )
    now, counts = utcnow(), dict[tuple[str, str], Count]()
    for name, word, number, created in conn.execute(
        query.where(status.c.status.in_(STATES)).group_by(status.c.name, status.c.status)
    ):
        so_far = counts.get((name, STATES[word]), Count(number=0, oldest_seconds=0.0))
        age = (now - moment(created)).total_seconds()
        oldest = max(so_far.oldest_seconds, age)
        counts[name, STATES[word]] = Count(number=so_far.number + number, oldest_seconds=oldest)
    return counts


def moment(epoch_ms: float | None) -> datetime:
    """A time in UTC without zone. 1970 if the value is outside the calendar, as in a row that was
    not written by this code."""
    try:
        return datetime.fromtimestamp((epoch_ms or 0) / 1000, UTC).replace(tzinfo=None)
    except (TypeError, ValueError, OverflowError, OSError):
        return datetime(1970, 1, 1)
