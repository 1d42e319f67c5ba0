"""How many rows of a kind a project, a network or a share may have, where no quota says so
(configuration: `[limits]`).

What is there is counted where nobody else can add to it meanwhile: with the row held that the new
one belongs to, or, for what belongs to a project only, with a lock on project and kind. Rows are
held before that lock. Whoever takes several of them does so in the order of the projects' ids.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import is_sqlite
from abaca.errors import OverQuota
from abaca.values import Value
from abaca.workflow import queue

_HOLD = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


class RowLimits(Value):
    """By kind; -1: no limit."""

    local_networks: int = -1
    subnets_per_local_network: int = -1
    rbac_policies_per_local_network: int = -1
    subnets_per_share_network: int = -1
    security_services: int = -1
    resource_locks: int = -1
    access_rules_per_share: int = -1
    # work of a project that may be asked for again and again about the same rows
    waiting_work: int = -1
    dns_names: int = -1


NO_LIMITS = RowLimits()


def require_room(
    conn: Connection, kind: str, limit: int, present: sa.ColumnElement[bool], of: str, more: int = 1
) -> None:
    """Raises OverQuota if `more` rows beside those `present` (a condition on one table) would
    exceed `limit`.

    `of`: the parent, for the message. The caller holds the parent's row.
    """
    if limit < 0:
        return
    used = conn.scalar(sa.select(sa.func.count()).where(present)) or 0
    if used + more > limit:
        raise OverQuota(
            f"Quota exceeded for {kind} of {of}: {more} asked for, {used} of {limit} in use "
            "already."
        )


def require_room_for_work(conn: Connection, project_id: str, limits: RowLimits) -> None:
    """Raises OverQuota if the limit of waiting and running work is reached. Concurrent requests may
    exceed it a little."""
    limit = limits.waiting_work
    if limit >= 0 and queue.in_flight(conn, project_id, limit) >= limit:
        raise OverQuota(
            f"Quota exceeded for waiting_work of project {project_id}: {limit} of {limit} "
            "operations are"
            " waiting or running. Try again when some of them have ended."
        )


def hold_in_project(conn: Connection, kind: str, project_id: str) -> None:
    """Until this transaction ends, nobody else gets past here for the same kind and project. SQLite
    has one writer at a time."""
    if not is_sqlite(conn):
        conn.execute(_HOLD, {"name": f"{kind} of {project_id}"})


def require_room_in_project(
    conn: Connection,
    kind: str,
    limit: int,
    project_column: sa.Column[Any],
    project_id: str,
    more: int = 1,
) -> None:
    """The same for what belongs to a project only."""
    if limit < 0:
        return
    hold_in_project(conn, kind, project_id)
    require_room(conn, kind, limit, project_column == project_id, f"project {project_id}", more)
