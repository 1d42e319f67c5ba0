"""Resource locks: placing them on shares and access rules, reading, changing and deleting them.

What they prevent: `resource_lock_checks`. The database deletes them with the resource that they
lock.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import dicts, utcnow
from abaca.db.tables import resource_locks as table
from abaca.db.tables import share_access_rules
from abaca.db.tables import shares as shares_table
from abaca.domain.rows import states
from abaca.domain.rows.listings import Listing, containing, created, equal
from abaca.domain.rows.row_limits import NO_LIMITS, RowLimits, require_room_in_project
from abaca.domain.rows.states import Permit
from abaca.domain.shares import access_rule_states, shares
from abaca.domain.shares.resource_lock_checks import DELETE, SHOW, context_of, is_below
from abaca.errors import Conflict, Forbidden, Invalid, Missing
from abaca.values import Caller

ACTIONS = {"share": (DELETE,), "access_rule": (DELETE, SHOW)}
_RESOURCES = {"share": table.c.share_id, "access_rule": table.c.access_rule_id}
_NOUNS = {"share": states.SHARE, "access_rule": states.ACCESS_RULE}
_KINDS = [(column.is_not(None), name) for name, column in _RESOURCES.items()]
_FIELDS: dict[str, sa.ColumnElement[Any]] = {
    **{
        name: table.c[name]
        for name in (
            "id",
            "project_id",
            "user_id",
            "lock_context",
            "resource_action",
            "lock_reason",
            "created_at",
            "updated_at",
        )
    },
    "resource_type": sa.case(*_KINDS),
    "resource_id": sa.func.coalesce(*_RESOURCES.values()),
}


def _select(caller: Caller, all_projects: bool = False) -> sa.Select[Any]:
    query = sa.select(*[column.label(name) for name, column in _FIELDS.items()])
    return (
        query
        if all_projects and caller.is_admin
        else query.where(table.c.project_id == caller.project_id)
    )


LISTING = Listing(
    "Resource locks",
    _select,
    table.c.id,
    conditions={
        **equal(_FIELDS),
        **containing({"lock_reason": table.c.lock_reason}),
        **created(table.c.created_at),
    },
    sort_keys=_FIELDS,
)


def create(
    conn: Connection,
    caller: Caller,
    *,
    resource_type: str,
    resource_id: str,
    resource_action: str = DELETE,
    lock_reason: str | None = None,
    limits: RowLimits = NO_LIMITS,
) -> dict[str, Any]:
    """Place a lock; returns its view. Raises Missing if the resource does not exist or is another
    project's; Conflict for a status that does not permit it, and for a second lock on
    visibility."""
    _require_known(resource_type, resource_action)
    share_id = (
        resource_id if resource_type == "share" else _share_of_rule(conn, caller, resource_id)
    )
    share = shares.lock(conn, caller, share_id)
    _require_lockable(conn, share, resource_type, resource_id, resource_action)
    require_room_in_project(
        conn, "resource_locks", limits.resource_locks, table.c.project_id, share.project_id
    )
    lock_id = place(
        conn, caller, resource_type, resource_id, share.project_id, resource_action, lock_reason
    )
    return get(conn, caller, lock_id)


def place(
    conn: Connection,
    caller: Caller,
    resource_type: str,
    resource_id: str,
    project_id: str,
    resource_action: str,
    lock_reason: str | None,
    cause_id: str | None = None,
) -> str:
    """Store a lock; returns its id. The caller has locked the share's row and checked its
    status."""
    lock_id = str(uuid4())
    conn.execute(
        sa.insert(table).values(
            {
                "id": lock_id,
                "project_id": project_id,
                "user_id": caller.user_id,
                "lock_context": context_of(caller),
                _RESOURCES[resource_type].name: resource_id,
                "resource_action": resource_action,
                "lock_reason": lock_reason,
                "cause_id": cause_id,
                "created_at": utcnow(),
            }
        )
    )
    return lock_id


def restrict_rule(
    conn: Connection,
    caller: Caller,
    share: sa.Row[Any],
    access_id: str,
    actions: Collection[str],
    lock_reason: str | None,
    limits: RowLimits = NO_LIMITS,
) -> None:
    """Lock a new access rule of a share (as `shares.lock` returns it) against these actions. If it
    is locked against deletion, its share is locked too, until the rule is deleted."""
    if actions:
        more = len(actions) + (DELETE in actions)
        require_room_in_project(
            conn,
            "resource_locks",
            limits.resource_locks,
            table.c.project_id,
            share.project_id,
            more,
        )
    for action in sorted(actions):
        lock_id = place(
            conn, caller, "access_rule", access_id, share.project_id, action, lock_reason
        )
        if action == DELETE:
            place(
                conn,
                caller,
                "share",
                share.id,
                share.project_id,
                DELETE,
                f"Locked by the access rule's lock {lock_id}.",
                lock_id,
            )


def get(conn: Connection, caller: Caller, lock_id: str) -> dict[str, Any]:
    """One lock of the caller's project."""
    rows = dicts(conn.execute(_select(caller, all_projects=True).where(table.c.id == lock_id)))
    if not rows:
        raise Missing(f"Resource lock {lock_id} could not be found.")
    return rows[0]


def update(
    conn: Connection, caller: Caller, lock_id: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """Change resource_action, lock_reason. Raises Forbidden if the caller may not override the
    lock; Conflict as `create` does."""
    lock = _held(conn, caller, lock_id)
    action = changes.get("resource_action", lock["resource_action"])
    _require_known(lock["resource_type"], action)
    if action != lock["resource_action"]:
        share_id = (
            lock["resource_id"]
            if lock["resource_type"] == "share"
            else _share_of_rule(conn, caller, lock["resource_id"])
        )
        _require_lockable(
            conn,
            shares.lock(conn, caller, share_id),
            lock["resource_type"],
            lock["resource_id"],
            action,
        )
    allowed = {
        name: changes[name] for name in ("resource_action", "lock_reason") if name in changes
    }
    conn.execute(
        sa.update(table).where(table.c.id == lock_id).values(updated_at=utcnow(), **allowed)
    )
    return get(conn, caller, lock_id)


def delete(conn: Connection, caller: Caller, lock_id: str) -> None:
    """Delete a lock, and the lock of a share that was placed with it. Raises Forbidden if the
    caller may not override it."""
    _held(conn, caller, lock_id)
    conn.execute(sa.delete(table).where(table.c.id == lock_id))


def _held(conn: Connection, caller: Caller, lock_id: str) -> dict[str, Any]:
    lock = get(conn, caller, lock_id)
    if not conn.scalar(sa.select(is_below(caller)).where(table.c.id == lock_id)):
        raise Forbidden(
            f"Resource lock {lock_id} was created by another user (as {lock['lock_context']});"
            " only they or an administrator can change it."
        )
    return lock


def _share_of_rule(conn: Connection, caller: Caller, access_id: str) -> str:
    query = (
        sa.select(shares_table.c.id)
        .join(share_access_rules)
        .where(share_access_rules.c.id == access_id)
    )
    share_id: str | None = conn.scalar(
        query if caller.is_admin else query.where(shares.is_of_project(caller))
    )
    if share_id is None:
        raise Missing(f"Access rule {access_id} could not be found.")
    return share_id


def _require_known(resource_type: str, resource_action: str) -> None:
    if resource_type not in ACTIONS:
        raise Invalid(f"'resource_type' must be one of {', '.join(ACTIONS)}.")
    if resource_action not in ACTIONS[resource_type]:
        raise Invalid(
            f"'resource_action' must be one of {', '.join(ACTIONS[resource_type])} for a resource "
            f"of type {resource_type}."
        )


def _require_lockable(
    conn: Connection, share: sa.Row[Any], resource_type: str, resource_id: str, resource_action: str
) -> None:
    """Raises Conflict unless the resource, its share's row locked, has a status that permits a
    lock."""
    if share.scheduled_to_be_deleted_at is not None:
        raise Conflict(f"Share {share.id} has been soft-deleted: it cannot be locked.")
    state = share.status
    if resource_type == "access_rule":
        state = conn.scalar(
            sa.select(access_rule_states.STATE).where(share_access_rules.c.id == resource_id)
        )
        if state is None:  # it went while its share's row was waited for
            raise Missing(f"Access rule {resource_id} could not be found.")
    if resource_action == DELETE and not _NOUNS[resource_type].permits(state, Permit.LOCK):
        raise Conflict(
            f"The {resource_type} {resource_id} is {state}: it cannot be locked against deletion."
        )
    if resource_action == SHOW:
        same = sa.select(table.c.id).where(
            table.c.access_rule_id == resource_id, table.c.resource_action == SHOW
        )
        if conn.execute(same.limit(1)).first():
            raise Conflict(
                f"The visibility of the {resource_type} {resource_id} is already locked."
            )
