"""Take over a share server that is on a back end: its driver first, then its addresses; then it
is brought to what is described."""

from __future__ import annotations

import msgspec

from abaca.domain.driver_views import driver_values
from abaca.domain.network_changes import share_server_management as management
from abaca.domain.share_networks import share_network_subnets
from abaca.networks.interface import AllocationRequest
from abaca.operations import driver_calls, serving
from abaca.values import ManagedServer, NetworkAllocation
from abaca.workflow.steps import effect, later, tx, workflow


@workflow(on_failure=management.fail_managing, on_resume=management.resume_managing)
def share_server_manage(share_server_id: str, driver_options: str) -> None:
    with serving.current().locks.exclusive(share_server_id):
        wanted = tx(management.managing, share_server_id)
        if wanted is None:
            return
        options = msgspec.json.decode(driver_options)
        found: ManagedServer = effect(
            serving.current().driver(wanted.host).manage_server,
            share_server_id,
            wanted.identifier,
            options,
        )
        place, networks = wanted.place, serving.current().networks
        subnet = place.subnet
        if subnet is None:
            subnet = effect(
                networks.get_subnet, place.project_id, place.neutron_net_id, place.neutron_subnet_id
            )
            tx(share_network_subnets.resolve, place.share_network_subnet_id, subnet)
        request = AllocationRequest(
            server_id=share_server_id,
            share_network_subnet_id=place.share_network_subnet_id,
            neutron_net_id=subnet.neutron_net_id,
            neutron_subnet_id=subnet.neutron_subnet_id,
            count=len(found.ip_addresses),
            project_id=place.project_id,
        )
        given: list[NetworkAllocation] = effect(networks.take_over, request, found.ip_addresses)
        tx(
            management.store,
            share_server_id,
            place.share_network_subnet_id,
            given,
            found.backend_details,
        )
        server = later(driver_values.share_server, share_server_id)
        effect(driver_calls.ensure_server, wanted.host, server, [], [])
        tx(management.managed, share_server_id)
