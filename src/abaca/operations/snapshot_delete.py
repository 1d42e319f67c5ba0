"""Delete a snapshot. Its share, and shares that were made from it, stay as they are."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.recovery import resumptions
from abaca.domain.snapshots import share_snapshot_instances
from abaca.operations import driver_calls, serving
from abaca.workflow.steps import effect, later, tx, workflow


def fail(conn: Connection, share_instance_id: str, instance_id: str, reason: str) -> None:
    """The snapshot may be deleted again."""
    share_snapshot_instances.fail_deletion(conn, instance_id, reason)


@workflow(on_failure=fail, on_resume=resumptions.snapshot_delete)
def snapshot_delete(share_instance_id: str, instance_id: str) -> None:
    with serving.server_of_share(share_instance_id):
        here = tx(snapshot_values.snapshot_state, instance_id)
        if here is None:
            return
        snapshot, server = (
            later(snapshot_values.snapshot, instance_id),
            later(driver_values.server_of_share, here.server_id),
        )
        effect(driver_calls.delete_snapshot, here.host, snapshot, server)
        tx(share_snapshot_instances.remove, instance_id)
