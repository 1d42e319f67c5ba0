"""Work that has not ended well (`workflow.unfinished`) is resumed over the API: what
`workflow.inspection` does for the command line, without the workflow engine, which the API does not
load (ADR 0027)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import Connection

from abaca import log_context
from abaca.domain.network_changes import (
    security_service_changes,
    share_server_management,
    share_server_repairs,
)
from abaca.domain.recovery import resumptions
from abaca.domain.server_moves import share_server_moves
from abaca.domain.shares import share_management
from abaca.domain.snapshots import snapshot_access_states, snapshot_management
from abaca.errors import Conflict
from abaca.workflow import unfinished

RESUMPTIONS: dict[str, Callable[..., None]] = {
    **{
        name: getattr(resumptions, name)
        for name in (
            "access_apply",
            "share_backup_create",
            "share_backup_delete",
            "share_backup_restore",
            "share_create",
            "share_delete",
            "share_extend",
            "share_group_clone",
            "share_group_create",
            "share_group_snapshot_create",
            "share_group_snapshot_delete",
            "share_network_subnet_resolve",
            "share_revert",
            "share_server_delete",
            "share_shrink",
            "snapshot_create",
            "snapshot_delete",
        )
    },
    "share_manage": share_management.resume_managing,
    "share_server_abandon_subnet": share_server_repairs.resume_abandonment,
    "share_server_arrive": share_server_moves.resume_arrival,
    "share_server_add_subnet": share_server_repairs.resume_addition,
    "share_server_manage": share_server_management.resume_managing,
    "share_server_remove_subnet": share_server_repairs.resume_removal,
    "share_server_unmanage": share_server_management.resume_unmanaging,
    "share_server_update_security_service": security_service_changes.resume,
    "share_unmanage": share_management.resume_unmanaging,
    "snapshot_access_apply": snapshot_access_states.resume_update,
    "snapshot_manage": snapshot_management.resume_managing,
    "snapshot_unmanage": snapshot_management.resume_unmanaging,
}
"""Workflow name → its `on_resume`; `tests/operations/test_resume.py` compares."""


def resume(conn: Connection, operation_id: str) -> None:
    """Begin work that is parked or was given up once more, as new work on the same resources; the
    old record goes.

    Raises Missing; Conflict if it has not ended, its resources have changed since, later work was
    done on them, or it is of a kind that is requested again instead.
    """
    work = unfinished.lock(conn, operation_id)
    if work.state not in unfinished.ENDED:
        raise Conflict(
            f"The operation {operation_id} is {work.state}: it does not need to be resumed."
        )
    arguments: Any = unfinished.arguments(conn, operation_id)
    again = RESUMPTIONS.get(work.name)
    if arguments is None or (again is not None and not _takes(again, len(arguments))):
        raise Conflict(
            f"The operation {operation_id} cannot be resumed: its arguments cannot be read. Set "
            "the status of what it is about by hand."
        )
    if again is None:
        raise Conflict(f"{work.name} cannot be resumed; repeat the request that started it.")
    later = unfinished.later_on_the_same(conn, work)
    if later is not None:
        raise Conflict(f"A later operation works on the same resource: {later}.")
    with log_context.working_for(work.request_id):
        again(conn, *arguments)
    unfinished.forget(conn, operation_id)


def _takes(again: Callable[..., None], number: int) -> bool:
    """Whether it takes so many arguments after the connection."""
    try:
        inspect.signature(again).bind(None, *[""] * number)
    except TypeError:
        return False
    return True
