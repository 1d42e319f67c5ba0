"""Clean-up after DBOS: records of ended work are deleted after a while, and work that DBOS gave up
is ended properly."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from dbos import DBOS
from dbos._dbos import _get_dbos_instance
from sqlalchemy.engine import Engine

from abaca import log_context
from abaca.workflow.queue import queue_name, request_of
from abaca.workflow.steps import ENDINGS, end_outside

GAVE_UP = "The operation was interrupted too often and has been ended."
UNKNOWN = (
    "This release of the service does not know the operation, which another one began; it "
    "has been ended."
)

_LOG = logging.getLogger(__name__)
_AT_ONCE = 500

LOST_SECONDS = 20.0
"""What has been claimed for so long and is not being carried out is not on its way to be."""

DONE = ("SUCCESS",)
NOT_DONE = ("ERROR", "CANCELLED")


def delete_ended(
    statuses: Sequence[str], older_than_seconds: float, at_once: int = _AT_ONCE
) -> None:
    """Delete the records of workflows that ended in one of these states and longer ago than that,
    in transactions of limited size."""
    limit = (datetime.now(UTC) - timedelta(seconds=older_than_seconds)).isoformat()
    while old := DBOS.list_workflows(
        status=list(statuses),
        completed_before=limit,
        limit=at_once,
        load_input=False,
        load_output=False,
    ):
        DBOS.delete_workflows([workflow.workflow_id for workflow in old])


def delete_steps(at_once: int = _AT_ONCE) -> None:
    """Delete the steps of work that succeeded, which is never resumed, in transactions of limited
    size."""
    database = _get_dbos_instance()._sys_db
    status, steps = database.tables.workflow_status, database.tables.operation_outputs
    is_done = status.c.status.in_(DONE)
    some = (
        sa.select(steps.c.workflow_uuid)
        .join(status, status.c.workflow_uuid == steps.c.workflow_uuid)
        .where(is_done)
        .limit(at_once)
    )
    is_left = True
    while is_left:
        with database.engine.begin() as conn:
            is_left = (
                conn.execute(sa.delete(steps).where(steps.c.workflow_uuid.in_(some))).rowcount > 0
            )


def take_up_lost(worker_host: str) -> None:
    """Enqueue again the work that counts as running here but that nothing runs: the database did
    not accept its end, or failed after it was claimed. Recorded steps are not repeated. If a run
    exists after all, it finds that it has lost the work."""
    dbos = _get_dbos_instance()
    status = dbos._sys_db.tables.workflow_status
    begun_before = int((time.time() - LOST_SECONDS) * 1000)
    begun = sa.and_(
        status.c.status == "PENDING",
        status.c.executor_id == worker_host,
        status.c.started_at_epoch_ms < begun_before,
    )
    with dbos._sys_db.engine.begin() as conn:
        begun_ids = conn.scalars(sa.select(status.c.workflow_uuid).where(begun)).all()
    for workflow_id in set(begun_ids) - set(dbos._active_workflows_set.activeList()):
        _LOG.warning("%s is marked as running, but nothing runs it; it is resumed", workflow_id)
        dbos._sys_db.reenqueue_for_recovery(workflow_id, [worker_host], queue_name(worker_host))


def end_given_up(engine: Engine, worker_host: str) -> None:
    """End the work of this host that DBOS no longer runs, because it was begun too often, or never
    runs, because this release does not know its kind: its resources go to their error states."""
    # By who began it: DBOS takes what it gives up off the queue.
    for status, reason in (("MAX_RECOVERY_ATTEMPTS_EXCEEDED", GAVE_UP), ("PENDING", UNKNOWN)):
        for workflow in DBOS.list_workflows(
            status=status, executor_id=worker_host, limit=_AT_ONCE, load_output=False
        ):
            if status == "PENDING" and workflow.name in ENDINGS:
                continue  # it goes on
            if isinstance(workflow.input, dict):  # else it cannot be read and is shown as that
                _LOG.error("%s is ended: %s", workflow.workflow_id, reason)
                with log_context.working_for(request_of(workflow.authenticated_roles)):
                    end_outside(engine, workflow.name, workflow.input["args"], reason)
            DBOS.cancel_workflow(workflow.workflow_id)
