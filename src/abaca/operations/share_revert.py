"""Give a share the data and the size of one of its snapshots. Clients keep their mounts; files that
they hold open are stale afterwards."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.recovery import resumptions
from abaca.domain.rows import messages
from abaca.domain.shares import share_instances
from abaca.domain.snapshots import share_snapshot_instances
from abaca.errors import Refused
from abaca.operations import serving
from abaca.workflow.steps import effect, later, tx, workflow


def fail(
    conn: Connection, instance_id: str, snapshot_instance_id: str, size: str, reason: str
) -> None:
    """What was claimed for the share goes back, and the snapshot may be used again."""
    share_instances.not_extended(conn, instance_id, int(size))
    share_snapshot_instances.released(conn, snapshot_instance_id)
    share_instances.fail(
        conn, instance_id, "reverting_error", messages.Action.REVERT_TO_SNAPSHOT, reason
    )


@workflow(on_failure=fail, on_resume=resumptions.share_revert)
def share_revert(instance_id: str, snapshot_instance_id: str, size: str) -> None:
    with serving.server_of_share(instance_id):
        here = tx(snapshot_values.snapshot_state, snapshot_instance_id)
        if here is None:
            raise Refused("The snapshot is gone.", is_public=True)
        snapshot, share = (
            later(snapshot_values.snapshot, snapshot_instance_id),
            later(driver_values.share, here.share_instance_id),
        )
        server = later(driver_values.server_of_share, here.server_id)
        effect(serving.current().driver(here.host).revert_to_snapshot, snapshot, share, server)
        tx(share_snapshot_instances.reverted, instance_id, snapshot_instance_id, int(size))
