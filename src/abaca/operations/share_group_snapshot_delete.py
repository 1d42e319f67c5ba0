"""Delete a group snapshot with its members. One that cannot be deleted keeps none of the others."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.recovery import resumptions
from abaca.domain.rows import messages
from abaca.domain.share_groups import share_group_snapshots
from abaca.domain.snapshots import share_snapshot_instances
from abaca.errors import BackendError
from abaca.operations import driver_calls, serving
from abaca.values import Host
from abaca.workflow.steps import effect, later, tx, workflow


def fail(
    conn: Connection, group_snapshot_id: str, share_server_id: str, host: str, reason: str
) -> None:
    """The group snapshot, with the members that are left, may be deleted again."""
    share_group_snapshots.fail(
        conn, group_snapshot_id, "error_deleting", messages.Action.DELETE, reason
    )


@workflow(on_failure=fail, on_resume=resumptions.share_group_snapshot_delete)
def share_group_snapshot_delete(group_snapshot_id: str, share_server_id: str, host: str) -> None:
    """`share_server_id`: empty for a group without one; `host`: host@backend#pool."""
    members = tx(share_group_snapshots.members_at_work, group_snapshot_id)
    failure: BackendError | None = None
    with serving.group_of_shares(
        share_server_id or None,
        Host.parse(host).service,
        [member.share_instance_id for member in members],
    ):
        server = later(driver_values.server_of_share, share_server_id)
        for member in members:
            snapshot = later(snapshot_values.snapshot, member.instance_id)
            try:
                effect(driver_calls.delete_snapshot, host, snapshot, server)
            except BackendError as error:
                failure = failure or error
            else:
                tx(share_snapshot_instances.remove, member.instance_id)
    if failure is not None:
        raise failure
    tx(share_group_snapshots.removed, group_snapshot_id)
