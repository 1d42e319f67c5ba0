"""Delete a snapshot. Its share, and shares that were made from it, stay as they are."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from abaca.domain import messages, resumptions, share_instances, share_snapshot_instances, snapshot_values
from abaca.operations import serving
from abaca.workflow.steps import effect, tx, workflow


def fail(conn: Connection, share_instance_id: str, instance_id: str, reason: str) -> None:
    """The snapshot may be deleted again."""
    share_snapshot_instances.fail(conn, instance_id, "error_deleting", messages.Action.DELETE, reason)


@workflow(on_failure=fail, on_resume=resumptions.snapshot_delete)
def snapshot_delete(share_instance_id: str, instance_id: str) -> None:
    place = tx(share_instances.place, share_instance_id)
    if place is None:
        return
    with serving.current().locks.shared(place.share_server_id):
        here = tx(snapshot_values.standing, instance_id, place.share_server_id)
        if here is None:
            return
        effect(serving.current().driver(place.host).delete_snapshot, here.snapshot, here.server)
        tx(share_snapshot_instances.remove, instance_id)
