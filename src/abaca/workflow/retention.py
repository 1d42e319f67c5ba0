"""What DBOS keeps of finished work, deleted after a while: it never does so itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dbos import DBOS

_AT_ONCE = 500
_ENDED = ["SUCCESS", "ERROR", "CANCELLED"]


def delete_finished(older_than_seconds: float) -> None:
    """Delete the records of workflows that ended longer ago than that, a bounded number a call."""
    limit = (datetime.now(UTC) - timedelta(seconds=older_than_seconds)).isoformat()
    old = DBOS.list_workflows(status=_ENDED, completed_before=limit, limit=_AT_ONCE, load_input=False, load_output=False)
    if old:
        DBOS.delete_workflows([workflow.workflow_id for workflow in old])
