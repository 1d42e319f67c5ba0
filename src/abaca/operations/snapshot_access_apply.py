"""Make the access rules of a snapshot hold, all together, as they are stored when the work runs."""

from __future__ import annotations

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.snapshots import snapshot_access_states
from abaca.operations import driver_calls, serving
from abaca.workflow.steps import effect, later, tx, workflow


@workflow(
    on_failure=snapshot_access_states.fail_update, on_resume=snapshot_access_states.resume_update
)
def snapshot_access_apply(share_instance_id: str, instance_id: str) -> None:
    with serving.server_of_share(share_instance_id):
        if not tx(snapshot_access_states.begin_update, share_instance_id, instance_id):
            return
        here = tx(snapshot_values.snapshot_state, instance_id)
        if here is None:
            return
        update = effect(
            driver_calls.enforce_snapshot_access,
            here.host,
            later(snapshot_values.snapshot, instance_id),
            later(driver_values.server_of_share, here.server_id),
        )
        tx(snapshot_access_states.end_update, share_instance_id, instance_id, update)
