"""Unmanage a share: it stays on its back end as it is, with its data and its rules, and is
forgotten here. One that was never taken over is only forgotten."""

from __future__ import annotations

from abaca.domain.driver_views import driver_values
from abaca.domain.shares import share_instances, share_management
from abaca.operations import serving
from abaca.workflow.steps import effect, later, tx, workflow


@workflow(on_failure=share_management.fail_unmanaging, on_resume=share_management.resume_unmanaging)
def share_unmanage(instance_id: str) -> None:
    with serving.server_of_share(instance_id):
        here = tx(driver_values.share_state, instance_id)
        if here is None:
            return
        if here.size:
            share, server = (
                later(driver_values.share, instance_id),
                later(driver_values.server_of_share, here.server_id),
            )
            effect(serving.current().driver(here.host).unmanage_share, share, server)
        tx(share_instances.remove, instance_id)
