"""Make the access rules of a share hold, all together, as they are stored when the work runs; also, to read, for its mountable snapshots."""

from __future__ import annotations

from abaca.domain import access_rules, driver_values, resumptions, snapshot_values
from abaca.operations import serving
from abaca.workflow.steps import effect, tx, workflow


@workflow(on_failure=access_rules.fail_update, on_resume=resumptions.access_apply)
def access_apply(instance_id: str) -> None:
    with serving.server_of_share(instance_id):
        rules = tx(access_rules.begin_update, instance_id)
        here = None if rules is None else tx(driver_values.standing, instance_id)
        if rules is None or here is None:
            return
        driver = serving.current().driver(here.host)
        rejected = effect(driver.update_access, here.share, rules, here.server)
        for snapshot in tx(snapshot_values.mountable_of_share, instance_id) if here.mount_snapshot_support else []:
            effect(driver.update_snapshot_access, snapshot, snapshot.access_rules, here.server)
        tx(access_rules.end_update, instance_id, [rule.id for rule in rules], rejected)
