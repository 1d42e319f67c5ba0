"""Hand metadata of a share network subnet to the driver of a share server that is there. One
workflow per server."""

from __future__ import annotations

from abaca.domain.driver_views import driver_values
from abaca.domain.network_changes import subnet_metadata
from abaca.operations import driver_calls, serving
from abaca.workflow.steps import effect, later, tx, workflow


@workflow(on_failure=subnet_metadata.fail)
def share_server_update_subnet_metadata(share_server_id: str, subnet_id: str, *keys: str) -> None:
    with serving.current().locks.exclusive(share_server_id):
        wanted = tx(subnet_metadata.wanted, share_server_id, subnet_id, list(keys))
        if wanted is None:
            return
        server = later(driver_values.server_with_added_subnets, share_server_id)
        metadata = later(subnet_metadata.values, subnet_id, wanted.keys)
        effect(
            driver_calls.update_share_network_subnet_from_metadata,
            wanted.host,
            server,
            subnet_id,
            metadata,
        )
        tx(subnet_metadata.handed_over, share_server_id, subnet_id, wanted.keys)
