"""Statuses: for each kind of resource a table of transitions, and of what each status permits; and
the only place that sets a status.

A status with work in progress (creating, deleting, network_change, …) always has a workflow that
owns it, stored in the same transaction. Requests of callers are checked before, with
`CallerError`s; a transition that is not in the table is a bug.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db import tables
from abaca.db.session import utcnow
from abaca.errors import Invalid

IN_PROGRESS = frozenset({
    "creating", "deleting", "deferred_deleting", "extending", "shrinking", "reverting",
    "restoring", "network_change", "syncing", "queued_to_apply", "applying",
    "queued_to_deny", "denying", "manage_starting", "unmanage_starting",
    "backup_creating", "backup_restoring",
})  # fmt: skip
"""Statuses with work in progress."""


class Permit(Enum):
    """What the status of a share, a snapshot, a share server or an access rule permits or
    implies."""

    DELETE = auto()
    SOFT_DELETE = auto()
    RESTORE = auto()  # after a soft deletion
    # soft-deleted, it is deleted when its time has come; else a person has to look at it
    EXPIRE = auto()
    UNMANAGE = auto()
    LOCK = auto()  # against deletion
    FORCED_SNAPSHOT = auto()
    HAS_ALL_DATA = auto()  # on its back end
    HAS_LOCATIONS = auto()  # clients reach it, or will again, at its export locations
    IS_ON_SERVER = auto()  # its share server is told of it
    LEAVE_SERVER = auto()  # one that failed has nothing on its share server
    HAS_RULES_APPLIED = auto()
    SERVE = auto()  # a share server
    TAKE_SHARES = auto()  # a share server, a share group, a host
    CHANGE_LEVEL = auto()  # an access rule


class Noun(NamedTuple):
    """A kind of resource: its status column, its transitions (status → the statuses that may
    follow), permission → the statuses that permit it, and statuses with work in progress → what
    that ends in when it is given up, if that is no error."""

    table: sa.Table
    column: str
    transitions: dict[str, frozenset[str]]
    permitted: dict[Permit, tuple[str, ...]]
    unharmed: dict[str, str]

    @property
    def in_progress(self) -> dict[str, str]:
        """The statuses with work in progress → what each ends in when the work is given up."""
        return self.unharmed | {
            status: next(end for end in self.transitions[status] if "error" in end)
            for status in IN_PROGRESS & self.transitions.keys() - self.unharmed.keys()
        }

    def permits(self, status: str | None, what: Permit) -> bool:
        return status in self.permitted[what]


class _AllBut(str):
    """The statuses that do not permit something, instead of those that do."""


def _noun(
    table: sa.Table,
    column: str,
    permits: Mapping[Permit, str] | None = None,
    unharmed: Mapping[str, str] | None = None,
    **transitions: str,
) -> Noun:
    permitted = {}
    for what, text in (permits or {}).items():
        named = tuple(text.split())
        permitted[what] = (
            tuple(status for status in transitions if status not in named)
            if isinstance(text, _AllBut)
            else named
        )
    return Noun(
        table,
        column,
        {status: frozenset(followers.split()) for status, followers in transitions.items()},
        permitted,
        dict(unharmed or {}),
    )


# What is deleted in a deferred way has been given up: it is not told to servers again when that
# fails.
_DELETION = "deleting deferred_deleting error_deferred_deleting"

SHARE_NETWORK = _noun(
    tables.share_networks,
    "status",
    active="network_change error",
    network_change="active error",
    error="active",
)

SHARE_SERVER = _noun(
    tables.share_servers,
    "status",
    {
        Permit.DELETE: "active error",
        Permit.UNMANAGE: "active error manage_error unmanage_error",
        Permit.SERVE: "active network_change",
        Permit.TAKE_SHARES: "creating active",
    },
    creating="active error deleting",
    active="network_change deleting error unmanage_starting",
    network_change="active error",
    error="deleting network_change creating unmanage_starting",
    deleting="error",
    manage_starting="active manage_error",
    manage_error="manage_starting unmanage_starting",
    unmanage_starting="unmanage_error",
    unmanage_error="unmanage_starting",
)

SHARE = _noun(
    tables.share_instances,
    "status",
    {
        Permit.DELETE: "available error error_deleting inactive extending_error shrinking_error "
        "reverting_error backup_restoring_error error_deferred_deleting",
        Permit.SOFT_DELETE: "available error inactive",
        Permit.RESTORE: _AllBut(f"{_DELETION} error_deleting"),
        Permit.EXPIRE: "available error inactive extending_error shrinking_error reverting_error "
        "backup_restoring_error",
        Permit.UNMANAGE: "available error error_deleting inactive extending_error shrinking_error "
        "reverting_error backup_restoring_error manage_error unmanage_error "
        "error_deferred_deleting",
        Permit.LOCK: _AllBut(f"{_DELETION} error_deleting unmanage_starting unmanage_error"),
        Permit.FORCED_SNAPSHOT: "available extending_error shrinking_error",
        Permit.HAS_ALL_DATA: _AllBut(
            f"{_DELETION} creating reverting reverting_error backup_restoring "
            "backup_restoring_error error error_deleting manage_starting manage_error"
        ),
        Permit.HAS_LOCATIONS: _AllBut(
            f"{_DELETION} creating error error_deleting manage_starting manage_error"
        ),
        Permit.IS_ON_SERVER: _AllBut(f"{_DELETION} manage_starting manage_error"),
        Permit.LEAVE_SERVER: "error error_deleting error_deferred_deleting",
        Permit.HAS_RULES_APPLIED: _AllBut(f"{_DELETION} error"),
    },
    # A share that cannot be backed up is what it was.
    {"backup_creating": "available"},
    creating="available error deleting",
    available="extending shrinking reverting deleting deferred_deleting error unmanage_starting "
    "backup_creating backup_restoring awaiting_transfer",
    # no work: a request or the end of its time ends it
    awaiting_transfer="available deleting",
    backup_creating="available",
    backup_restoring="available backup_restoring_error",
    backup_restoring_error="backup_restoring deleting deferred_deleting unmanage_starting",
    extending="available extending_error",
    shrinking="available shrinking_error",
    reverting="available reverting_error",
    error="deleting deferred_deleting creating unmanage_starting",
    extending_error="deleting deferred_deleting extending unmanage_starting",
    shrinking_error="deleting deferred_deleting shrinking unmanage_starting",
    reverting_error="deleting deferred_deleting reverting unmanage_starting",
    deleting="error_deleting",
    error_deleting="deleting deferred_deleting unmanage_starting",
    inactive="deleting deferred_deleting unmanage_starting",
    deferred_deleting="error_deferred_deleting",
    error_deferred_deleting="deferred_deleting unmanage_starting",
    manage_starting="available manage_error",
    manage_error="manage_starting unmanage_starting",
    unmanage_starting="unmanage_error",
    unmanage_error="unmanage_starting",
    # Set by an administrator's hand only: nothing migrates.
    migrating="deleting",
    migrating_to="deleting",
)

SHARE_GROUP = _noun(
    tables.share_groups,
    "status",
    {Permit.DELETE: "available error", Permit.TAKE_SHARES: "available"},
    creating="available error",
    available="error",
    error="creating",
    # Set by an administrator's hand only: what is deleted goes at once, and nothing migrates.
    deleting="error_deleting",
    error_deleting="error",
    migrating="error",
    migrating_to="error",
    server_migrating="error",
)

SHARE_GROUP_SNAPSHOT = _noun(
    tables.share_group_snapshots,
    "status",
    {Permit.DELETE: "available error"},
    creating="available error deleting",
    available="deleting error",
    error="deleting creating",
    deleting="error",
    # Set by an administrator's hand only.
    error_deleting="deleting",
    migrating="deleting",
    migrating_to="deleting",
    server_migrating="deleting",
)

SNAPSHOT = _noun(
    tables.share_snapshot_instances,
    "status",
    {
        Permit.DELETE: "available error error_deleting manage_error error_deferred_deleting",
        Permit.UNMANAGE: "available error error_deleting manage_error unmanage_error "
        "error_deferred_deleting",
        Permit.HAS_ALL_DATA: "available restoring",
        Permit.IS_ON_SERVER: _AllBut(f"{_DELETION} manage_starting manage_error"),
    },
    creating="available error deleting",
    available="restoring deleting deferred_deleting error unmanage_starting",
    restoring="available error",
    error="deleting deferred_deleting creating unmanage_starting",
    deleting="error_deleting",
    error_deleting="deleting deferred_deleting unmanage_starting",
    deferred_deleting="error_deferred_deleting",
    error_deferred_deleting="deferred_deleting unmanage_starting",
    manage_starting="available manage_error",
    manage_error="manage_starting unmanage_starting deleting deferred_deleting",
    unmanage_starting="unmanage_error",
    unmanage_error="unmanage_starting",
    # Set by an administrator's hand only: nothing migrates.
    migrating="deleting",
    migrating_to="deleting",
    server_migrating="deleting",
)

BACKUP = _noun(
    tables.share_backups,
    "status",
    {
        Permit.DELETE: "available error error_deleting",
    },
    # What is restored stays whole, whatever becomes of the share.
    {"restoring": "available"},
    creating="available error",
    available="restoring deleting error",
    restoring="available",
    error="creating deleting",
    deleting="error_deleting",
    error_deleting="deleting",
)

ACCESS_RULES = _noun(
    tables.share_instances,
    "access_rules_status",
    active="syncing error",
    syncing="active error",
    error="syncing active",
)

# Of a worker host, by an administrator's hand only. That its worker does not live is in its lease.
HOST = _noun(
    tables.hosts,
    "state",
    {Permit.TAKE_SHARES: "up"},
    up="draining fenced",
    draining="up fenced",
    fenced="up draining",
)

# Of an access rule on one share instance.
ACCESS_RULE = _noun(
    tables.share_instance_access_map,
    "state",
    {
        Permit.LOCK: "queued_to_apply applying active",
        Permit.CHANGE_LEVEL: "active error",
    },
    queued_to_apply="applying queued_to_deny error active",
    applying="active error queued_to_deny",
    active="error queued_to_deny applying queued_to_apply",
    error="queued_to_deny applying active queued_to_apply",
    queued_to_deny="denying error_denying",
    denying="error_denying",
    # shown as error: what was taken away comes back with no later change of other rules
    error_denying="queued_to_deny denying",
)

# Of an access rule of a snapshot on one snapshot instance.
SNAPSHOT_ACCESS_RULE = _noun(
    tables.share_snapshot_instance_access_map,
    "state",
    queued_to_apply="applying queued_to_deny error active",
    applying="active error queued_to_deny",
    active="error queued_to_deny applying",
    error="queued_to_deny queued_to_apply active",
    queued_to_deny="denying error_denying",
    denying="error_denying",
    error_denying="queued_to_deny denying",
)

TASK_STATES = (
    "migration_starting", "migration_in_progress", "migration_completing", "migration_success",
     "migration_error", "migration_cancelled",
    "migration_driver_starting", "migration_driver_in_progress", "migration_driver_phase1_done",
     "data_copying_starting",
    "data_copying_in_progress", "data_copying_completing", "data_copying_completed",
     "data_copying_cancelled", "data_copying_error",
)  # fmt: skip
"""What the field `task_state` of shares and share servers can hold beside null. It is shown, and
nothing here goes by it: nothing migrates."""


_SETTABLE = (
    "available", "creating", "deleting", "error", "error_deleting", "migrating", "migrating_to",
    "server_migrating",
)  # fmt: skip


class IllegalTransition(RuntimeError):
    """The transition is not in the table."""


def move(conn: Connection, noun: Noun, ids: str | Sequence[str], to: str, **changes: Any) -> None:
    """Set the status of one or several rows, with further column changes. A row that already has
    the status stays as it is.

    Raises IllegalTransition if one of the rows may not go there; rows that do not exist are
    ignored.
    """
    wanted = {ids} if isinstance(ids, str) else set(ids)
    if not wanted:
        return
    status = noun.table.c[noun.column]
    sources = [source for source, followers in noun.transitions.items() if to in followers]
    moved = conn.execute(
        sa.update(noun.table)
        .where(noun.table.c.id.in_(wanted), status.in_(sources))
        .values({noun.column: to, "updated_at": utcnow(), **changes})
    )
    if moved.rowcount == len(wanted):
        return
    wrong = conn.execute(
        sa.select(noun.table.c.id, status).where(noun.table.c.id.in_(wanted), status != to)
    ).all()
    if wrong:
        raise IllegalTransition(f"{noun.table.name}: {wrong[0][1]} → {to} of {wrong[0][0]}")


def may_follow(noun: Noun, status: str, to: str) -> bool:
    """Whether `move` would be legal: for the end of work on a resource whose status may have been
    set by hand meanwhile."""
    return status == to or to in noun.transitions.get(status, ())


def give_up(conn: Connection, noun: Noun, of: sa.ColumnElement[bool], **changes: Any) -> None:
    """Set those of the rows with work in progress to error, because nobody knows how it ended."""
    status = noun.table.c[noun.column]
    for busy, end in noun.in_progress.items():
        conn.execute(
            sa.update(noun.table)
            .where(of, status == busy)
            .values({noun.column: end, "updated_at": utcnow(), **changes})
        )


def force(conn: Connection, noun: Noun, key: str, to: str) -> None:
    """Set a status regardless of the table: the administrator's reset."""
    conn.execute(
        sa.update(noun.table)
        .where(noun.table.c.id == key)
        .values({noun.column: to, "updated_at": utcnow()})
    )


def statuses(noun: Noun) -> list[str]:
    """Every status of a kind of resource, sorted."""
    return sorted(set(noun.transitions).union(*noun.transitions.values()))


def require_settable(status: str) -> None:
    """Raise Invalid unless it is a status that an administrator may set on a snapshot."""
    if status not in _SETTABLE:
        raise Invalid(f"Invalid state. Valid states: {', '.join(_SETTABLE)}.")


def set_task_state(conn: Connection, table: sa.Table, key: str, task_state: str | None) -> None:
    """Set a share's or a share server's task state by hand. Raises Invalid for an unknown one."""
    if task_state is not None and task_state not in TASK_STATES:
        raise Invalid(
            f"Invalid task state '{task_state}'. Valid task states: null, {', '.join(TASK_STATES)}."
        )
    conn.execute(
        sa.update(table).where(table.c.id == key).values(task_state=task_state, updated_at=utcnow())
    )
