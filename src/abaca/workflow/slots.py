"""Which waiting work a worker takes next. A worker has a fixed number of slots, shared between the
projects that have work (ADR 0041).

* The project with the fewest slots goes first.
* A project takes another slot only while `RESERVE` times as many as it would then hold stay free,
  so that there is one for later projects. A project without a slot takes any free one.
* Checks, which query services that tenants name (an LDAP server, Neutron) and change nothing, have
  a few slots of their own, by the same rules.
* Work with the same key runs one after the other, the oldest first, or, where it says so, a piece
  of each project in turn.

DBOS limits work per queue and per key, but not per project, so the choice is made here; starting
the chosen work is done as DBOS does it.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any, NamedTuple

import sqlalchemy as sa
from dbos._sys_db import SystemDatabase

from abaca.workflow.queue import VERSION

RESERVE = 0.5

CHECKS: set[str] = set()
"""The names of workflows that use the slots for checks."""


class Slots(NamedTuple):
    """How much work a worker does at once: work that changes something, and checks."""

    changes: int
    checks: int


class Chooser:
    """Takes waiting work of one queue for the executor, in two statements (one if there is
    none to take)."""

    def __init__(
        self, system_database: SystemDatabase, queue_name: str, executor_id: str, slots: Slots
    ) -> None:
        self._database = system_database
        self._parameters = {"queue": queue_name, "changes": slots.changes, "checks": slots.checks}
        self._executor_id = executor_id

    def take(
        self,
        _queue: Any,
        _executor: str,
        _version: str,
        most: int,
        *,
        owner_xid: str | None = None,
        **_: Any,
    ) -> list[str]:
        """Take up to `most` workflows; returns their ids. Replaces DBOS's
        `start_queued_partitioned_workflows`, hence the arguments."""
        status = self._database.tables.workflow_status
        with self._database.engine.begin() as conn:
            chosen = conn.scalars(
                _choice(self._database, frozenset(CHECKS)), {**self._parameters, "most": most}
            ).all()
            if not chosen:
                return []
            now = self._database._now_ms_sql()
            take = sa.update(status).where(status.c.workflow_uuid.in_(chosen),
             status.c.status == "ENQUEUED").values(
                status="PENDING",
                owner_xid=owner_xid,
                executor_id=self._executor_id,
                application_name=self._database.app_name,
                started_at_epoch_ms=now,
                updated_at=now,
                recovery_attempts=status.c.recovery_attempts + 1,
            )  # fmt: skip
            return list(conn.scalars(take.returning(status.c.workflow_uuid)))


@functools.lru_cache(maxsize=8)
def _choice(database: SystemDatabase, checks: Collection[str]) -> sa.Select[Any]:
    """The ids of the work to take, for the parameters `queue`, `changes`, `checks` and `most`."""
    status = database.tables.workflow_status
    there = sa.and_(
        status.c.queue_name == sa.bindparam("queue"), database._in_flight_status_prover()
    )
    is_check = sa.case((status.c.name.in_(checks), 1), else_=0)
    # NULL: from a release that did not know projects here
    project = sa.func.coalesce(status.c.authenticated_user, "")
    running = sa.and_(there, status.c.status == "PENDING")
    held = (
        sa.select(
            is_check.label("is_check"), project.label("project"), sa.func.count().label("slots")
        )
        .where(running)
        .group_by(is_check, project)
        .cte("held")
    )
    heads = _heads(status, there, running)
    # What the project would hold, counted from 1, if all before it were taken.
    turn = sa.func.coalesce(held.c.slots, 0) + sa.func.row_number().over(
        partition_by=(is_check, project), order_by=sa.func.random()
    )
    waiting = (
        sa.select(
            status.c.workflow_uuid.label("id"), is_check.label("is_check"), turn.label("turn")
        )
        .join(heads, heads.c.id == status.c.workflow_uuid)
        .outerjoin(held, (held.c.is_check == is_check) & (held.c.project == project))
        .cte("waiting")
    )
    total = (
        sa.select(sa.func.coalesce(sa.func.sum(held.c.slots), 0))
        .where(held.c.is_check == waiting.c.is_check)
        .scalar_subquery()
    )
    position = sa.func.row_number().over(
        partition_by=waiting.c.is_check, order_by=(waiting.c.turn, sa.func.random())
    )
    slots = sa.case(
        (waiting.c.is_check == 1, sa.bindparam("checks", type_=sa.Integer)),
        else_=sa.bindparam("changes", type_=sa.Integer),
    )
    queued = sa.select(
        waiting.c.id, waiting.c.turn, (slots - total - position).label("left_free")
    ).cte("queued")
    reserve_stays = queued.c.turn * sa.literal(RESERVE, sa.Float) <= queued.c.left_free
    fitting = sa.select(queued.c.id).where(
        queued.c.left_free >= 0, (queued.c.turn == 1) | reserve_stays
    )
    return fitting.order_by(queued.c.turn).limit(sa.bindparam("most", type_=sa.Integer))


def _heads(status: sa.Table, there: Any, running: Any) -> sa.Subquery:
    """The oldest waiting work of each key that no work runs with: one seek in the index a key,
    however much waits behind."""
    enqueued = sa.and_(
        there, status.c.status == "ENQUEUED", status.c.application_version == VERSION
    )
    key = status.c.queue_partition_key
    keys = sa.select(sa.func.min(key).label("key")).where(enqueued).cte("keys", recursive=True)
    following = sa.select(sa.func.min(key)).where(enqueued, key > keys.c.key).scalar_subquery()
    keys = keys.union_all(sa.select(following).where(keys.c.key.is_not(None)))
    taken = sa.exists().where(running, key == keys.c.key)
    head = (
        sa.select(status.c.workflow_uuid)
        .where(enqueued, key == keys.c.key)
        .order_by(status.c.priority, status.c.created_at, status.c.workflow_uuid)
        .limit(1)
        .scalar_subquery()
    )
    return sa.select(head.label("id")).where(keys.c.key.is_not(None), ~taken).subquery("heads")
