"""Take over a snapshot that is on the back end of its share."""

from __future__ import annotations

import msgspec

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.snapshots import snapshot_management
from abaca.operations import serving
from abaca.values import ManagedSnapshot
from abaca.workflow.steps import effect, later, tx, workflow


@workflow(
    on_failure=snapshot_management.fail_managing, on_resume=snapshot_management.resume_managing
)
def snapshot_manage(share_instance_id: str, instance_id: str, driver_options: str) -> None:
    with serving.server_of_share(share_instance_id):
        here = tx(snapshot_values.snapshot_state, instance_id)
        if here is None:
            return
        found: ManagedSnapshot = effect(
            serving.current().driver(here.host).manage_snapshot,
            later(snapshot_values.snapshot, instance_id),
            later(driver_values.server_of_share, here.server_id),
            msgspec.json.decode(driver_options),
        )
        tx(snapshot_management.managed, instance_id, found)
