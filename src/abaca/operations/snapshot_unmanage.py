"""Unmanage a snapshot: it stays on its back end, where nobody mounts it any more, and is forgotten
here. One that was never taken over is only forgotten."""

from __future__ import annotations

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.snapshots import share_snapshot_instances, snapshot_management
from abaca.operations import driver_calls, serving
from abaca.workflow.steps import effect, later, tx, workflow


@workflow(
    on_failure=snapshot_management.fail_unmanaging,
    on_resume=snapshot_management.resume_unmanaging,
)
def snapshot_unmanage(share_instance_id: str, instance_id: str) -> None:
    with serving.server_of_share(share_instance_id):
        here = tx(snapshot_values.snapshot_state, instance_id)
        if here is None:
            return
        effect(
            driver_calls.unmanage_snapshot,
            here.host,
            later(snapshot_values.snapshot, instance_id),
            later(driver_values.server_of_share, here.server_id),
        )
        tx(share_snapshot_instances.remove, instance_id)
