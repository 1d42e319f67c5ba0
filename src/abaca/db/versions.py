"""Versions of projects: each transaction that changes what callers are shown raises one, so who has
seen a version knows by one statement whether there is anything new (ADR 0121).

Of whose project is said by `log_context`: a request's caller, or whom work is done for. Where that
says nothing, and of tables that concern several projects, it is everybody's: `''`.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import randrange
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.sql.dml import UpdateBase

from abaca import log_context

EVERYBODY = ""
SLOTS = 8
IS_OURS = "abaca.tables"
"""In `info` of the tables that count: not those of the workflow engine, nor what migrations see."""

# `tables/project_versions.py`, which knows whoever imports this
project_versions = sa.table(
    "project_versions", sa.column("project_id"), sa.column("slot"), sa.column("version")
)

# What workers write again and again, and what is asked of back ends and shown nowhere else.
_QUIET = {
    "client_inquiries",
    "driver_data",
    "hosts",
    "local_machines",
    "pools",
    "project_versions",
    "service_workers",
    "services",
    "share_network_checks",
    "share_usages",
    "worker_leases",
}
# Other projects see some of these, or what comes of them.
_EVERYBODYS = {"local_networks", "local_rbac_policies", "local_subnets", "share_transfers"}
_CHANGED = "abaca.changed"  # in `info` of a connection: whose rows its transaction has changed

_own = sa.select(sa.func.sum(project_versions.c.version)).where(
    project_versions.c.project_id.in_([sa.bindparam("project_id"), EVERYBODY])
)
_all = sa.select(sa.func.sum(project_versions.c.version))


def note(conn: Connection, clause: Any, *_: Any) -> None:
    """After a statement: whether it changes what callers are shown."""
    if not isinstance(clause, UpdateBase):
        return
    table: Any = clause.table
    of = getattr(table, "metadata", None)
    if of is None or IS_OURS not in of.info or table.name in _QUIET:
        return
    if table.name in _EVERYBODYS:
        conn.info[_CHANGED] = EVERYBODY
    else:
        conn.info.setdefault(_CHANGED, log_context.project())


def begun(conn: Connection) -> None:
    """A transaction begins on the connection, whose last one may have been rolled back."""
    conn.info.pop(_CHANGED, None)


def raise_version(conn: Connection) -> None:
    """The last statement of a transaction that has changed something: its row is locked until the
    commit, and no longer."""
    project_id = conn.info.pop(_CHANGED, None)
    if project_id is not None:
        insert = (sqlite if conn.dialect.name == "sqlite" else postgresql).insert(project_versions)
        raised = {"version": project_versions.c.version + 1}
        conn.execute(
            insert.values(
                project_id=project_id, slot=randrange(SLOTS), version=1
            ).on_conflict_do_update(index_elements=["project_id", "slot"], set_=raised)
        )


def of_project(conn: Connection, project_id: str) -> int:
    """The version of a project, and of what is everybody's: one statement. Read it before the rows:
    they may then be newer than it, never older."""
    return int(conn.scalar(_own, {"project_id": project_id}) or 0)


def of_all(conn: Connection) -> int:
    """As `of_project`, for all projects."""
    found: Sequence[Any] = conn.execute(_all).one()
    return int(found[0] or 0)
