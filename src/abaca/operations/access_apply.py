"""Make the access rules of a share hold, all together, as they are stored when the work runs; also, to read, for its mountable snapshots."""

from __future__ import annotations

from abaca.domain import access_rules, driver_values, resumptions, share_instances, snapshot_values
from abaca.operations import serving
from abaca.workflow.steps import effect, tx, workflow


@workflow(on_failure=access_rules.fail_update, on_resume=resumptions.access_apply)
def access_apply(instance_id: str) -> None:
    place = tx(share_instances.place, instance_id)
    if place is None:
        return
    with serving.current().locks.shared(place.share_server_id):
        rules = tx(access_rules.begin_update, instance_id)
        if rules is None:
            return
        here = tx(driver_values.standing, instance_id, place.share_server_id)
        rejected = effect(serving.current().driver(place.host).update_access, here.share, rules, here.server)
        if place.mount_snapshot_support:
            for snapshot in tx(snapshot_values.mountable_of_share, instance_id):
                effect(serving.current().driver(place.host).update_snapshot_access, snapshot, snapshot.access_rules, here.server)
        tx(access_rules.end_update, instance_id, [rule.id for rule in rules], rejected)
