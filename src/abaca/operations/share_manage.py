"""Take over a share that its share server exports. From then on it is accessed by the rules that
Abaca knows, which are none."""

from __future__ import annotations

import msgspec

from abaca.domain.driver_views import driver_values
from abaca.domain.shares import share_management
from abaca.operations import serving
from abaca.values import ManagedShare
from abaca.workflow.steps import effect, later, tx, workflow


@workflow(on_failure=share_management.fail_managing, on_resume=share_management.resume_managing)
def share_manage(instance_id: str, export_path: str, driver_options: str) -> None:
    with serving.server_of_share(instance_id):
        here = tx(driver_values.share_state, instance_id)
        if here is None:
            return
        driver, options = serving.current().driver(here.host), msgspec.json.decode(driver_options)
        share, server = (
            later(driver_values.share, instance_id),
            later(driver_values.server_of_share, here.server_id),
        )
        found: ManagedShare = effect(driver.manage_share, share, export_path, server, options)
        effect(driver.update_access, share, [], server)
        tx(share_management.managed, instance_id, found)
