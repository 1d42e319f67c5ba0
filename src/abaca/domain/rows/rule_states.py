"""The states of access rules on one instance of a share or of a snapshot, while a driver enforces
all of them together.

Each kind of rule has a table with `access_id` and a state (a `Noun`) for each instance that a rule
is on. `of` says which rows are meant: those of an instance.

A rule whose denial failed is `error_denying`: no driver is told of it any more, and each later
application tries the denial again. Outside it is shown as `error`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.domain.rows import states
from abaca.domain.rows.states import Noun

WORST_FIRST = (
    "error_denying",
    "error",
    "denying",
    "queued_to_deny",
    "queued_to_apply",
    "applying",
    "active",
)
GRANTED = ("queued_to_apply", "applying", "active", "error")
"""A driver is told of rules in these states."""
SETTLED = ("active", "error")
FAILED = ("error", "error_denying")
BEING_DENIED = ("queued_to_deny", "denying")
DENIED = (*BEING_DENIED, "error_denying")
PENDING = ("queued_to_apply", "applying", "queued_to_deny", "denying")


def shown(state: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """SQL: a state as clients see it."""
    return sa.case((state == "error_denying", "error"), else_=state)


def begin(conn: Connection, noun: Noun, of: sa.ColumnElement[bool]) -> None:
    """Queued rules, and those whose denial failed before, are in progress."""
    queued = found(conn, noun, of, ("queued_to_apply", *DENIED))
    for is_denied, following in ((False, "applying"), (True, "denying")):
        ids = [row.id for row in queued if (row.state in DENIED) is is_denied]
        states.move(conn, noun, ids, following)


def end(
    conn: Connection, noun: Noun, of: sa.ColumnElement[bool], rejected: Mapping[str, str]
) -> list[str]:
    """What was granted is active, or in error if it is among `rejected` (access id → reason); what
    was denied is gone from this instance. Returns the access ids of those that are newly in
    error."""
    conn.execute(sa.delete(noun.table).where(of, noun.table.c.state == "denying"))
    given = found(conn, noun, of, ("applying", "active", "error"))
    for state, wanted in (("active", False), ("error", True)):
        ids = [row.id for row in given if (row.access_id in rejected) is wanted]
        states.move(conn, noun, ids, state)
    return [row.access_id for row in given if row.access_id in rejected and row.state != "error"]


def queue_again(conn: Connection, noun: Noun, of: sa.ColumnElement[bool]) -> bool:
    """Rules in error are queued again, to be denied those whose denial failed. False if there are
    none."""
    failed = found(conn, noun, of, FAILED)
    for state, following in (("error", "queued_to_apply"), ("error_denying", "queued_to_deny")):
        states.move(conn, noun, [row.id for row in failed if row.state == state], following)
    return bool(failed)


def found(
    conn: Connection, noun: Noun, of: sa.ColumnElement[bool], wanted: Sequence[str]
) -> Sequence[sa.Row[Any]]:
    """The rows in those states."""
    table = noun.table
    query = sa.select(table).where(of, table.c.state.in_(wanted))
    return conn.execute(query.order_by(table.c.access_id)).all()
