"""Make the access rules of a share instance hold, all together, as they are stored when the work
runs, on the subnets that are chosen for its exports; also, to read, for its mountable snapshots."""

from __future__ import annotations

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.recovery import resumptions
from abaca.domain.shares import access_rule_states
from abaca.domain.snapshots import share_snapshot_instances
from abaca.operations import driver_calls, serving
from abaca.workflow.steps import effect, later, tx, workflow


@workflow(on_failure=access_rule_states.fail_update, on_resume=resumptions.access_apply)
def access_apply(instance_id: str) -> None:
    with serving.server_of_share(instance_id):
        here = (
            tx(driver_values.share_state, instance_id)
            if tx(access_rule_states.begin_update, instance_id)
            else None
        )
        if here is None:
            return
        share, server = (
            later(driver_values.share, instance_id),
            later(driver_values.server_of_share, here.server_id),
        )
        update = effect(
            driver_calls.update_access,
            here.host,
            share,
            later(access_rule_states.granted_to, instance_id),
            server,
        )
        for snapshot_id in (
            tx(snapshot_values.mountable_ids, instance_id) if here.mount_snapshot_support else []
        ):
            moved = effect(
                driver_calls.update_snapshot_access,
                here.host,
                later(snapshot_values.snapshot, snapshot_id),
                server,
            )
            if moved.export_locations is not None:
                tx(share_snapshot_instances.changed, snapshot_id, moved)
        tx(access_rule_states.end_update, instance_id, update)
