"""Look up what a new share network subnet's Neutron ids mean, so that its owner sees it, or
learns that they do not exist."""

from __future__ import annotations

from abaca.domain.recovery import resumptions
from abaca.domain.share_networks import share_network_subnets
from abaca.operations import serving
from abaca.workflow.steps import effect, tx, workflow


@workflow(
    on_failure=share_network_subnets.tell_unresolved,
    on_resume=resumptions.share_network_subnet_resolve,
)
def share_network_subnet_resolve(subnet_id: str) -> None:
    ids = tx(share_network_subnets.neutron_ids, subnet_id)
    if ids is None:
        return
    subnet = effect(
        serving.current().networks.get_subnet,
        ids.project_id,
        ids.neutron_net_id,
        ids.neutron_subnet_id,
    )
    tx(share_network_subnets.resolve, subnet_id, subnet)
