"""Make the access rules of a share hold, all together, as they are stored when the work runs."""

from __future__ import annotations

from abaca.domain import access_rules, driver_values, share_instances
from abaca.operations import serving
from abaca.workflow.steps import effect, tx, workflow


@workflow(on_failure=access_rules.fail_update)
def access_apply(instance_id: str) -> None:
    place = tx(share_instances.place, instance_id)
    if place is None:
        return
    with serving.current().locks.shared(place.share_server_id):
        rules = tx(access_rules.begin_update, instance_id)
        if rules is None:
            return
        share = tx(driver_values.existing_share, instance_id)
        server = tx(driver_values.share_server, place.share_server_id)
        rejected = effect(serving.current().driver(place.host).update_access, share, rules, server)
        tx(access_rules.end_update, instance_id, [rule.id for rule in rules], rejected)
