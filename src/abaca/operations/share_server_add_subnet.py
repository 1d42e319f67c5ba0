"""Give a share server in use addresses on one more subnet. One workflow per server; the last one
makes the share network active again."""

from __future__ import annotations

from abaca.domain.network_changes import share_server_networks, share_server_repairs
from abaca.operations import driver_calls, serving
from abaca.operations.address_allocation import allocate
from abaca.workflow.steps import effect, later, tx, workflow


@workflow(
    on_failure=share_server_networks.fail_addition, on_resume=share_server_repairs.resume_addition
)
def share_server_add_subnet(share_server_id: str, subnet_id: str) -> None:
    with serving.current().locks.exclusive(share_server_id):
        server = tx(share_server_networks.to_extend, share_server_id, subnet_id)
        if server is None:
            return
        given = allocate(share_server_id, server.host, server.places)
        tx(share_server_networks.store_allocations, share_server_id, given)
        addition = later(share_server_networks.addition, share_server_id, subnet_id)
        update = effect(
            driver_calls.update_share_server_network_allocations,
            server.host,
            share_server_id,
            addition,
        )
        tx(share_server_networks.finish_addition, share_server_id, subnet_id, update)
