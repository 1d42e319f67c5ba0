"""Take a subnet from a share server in use: the back end lets go of it first, then the addresses go
back, which nothing answers on any more. One workflow a server; the last one takes the subnet away
and makes the share network active again."""

from __future__ import annotations

from abaca.domain.network_changes import share_server_networks, share_server_repairs
from abaca.operations import driver_calls, serving
from abaca.workflow.steps import effect, later, tx, workflow


@workflow(
    on_failure=share_server_networks.fail_removal, on_resume=share_server_repairs.resume_removal
)
def share_server_remove_subnet(share_server_id: str, subnet_id: str) -> None:
    with serving.current().locks.exclusive(share_server_id):
        server = tx(share_server_networks.to_shrink, share_server_id, subnet_id)
        if server is None:
            return
        if server.is_served:
            removal = later(share_server_networks.removal, share_server_id, subnet_id)
            update = effect(
                driver_calls.update_share_server_network_allocations,
                server.host,
                share_server_id,
                removal,
            )
            tx(share_server_networks.let_go, share_server_id, subnet_id, update)
        effect(serving.current().networks.release, share_server_id, [subnet_id])
        tx(share_server_networks.finish_removal, share_server_id, subnet_id)
