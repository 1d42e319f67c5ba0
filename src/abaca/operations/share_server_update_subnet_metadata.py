"""Hand metadata of a share network subnet to the driver of a share server that stands there. One workflow a server."""

from __future__ import annotations

from abaca.domain import subnet_metadata
from abaca.operations import driver_calls, serving
from abaca.workflow.steps import effect, tx, workflow


@workflow(on_failure=subnet_metadata.fail)
def share_server_update_subnet_metadata(share_server_id: str, subnet_id: str, *keys: str) -> None:
    with serving.current().locks.exclusive(share_server_id):
        wanted = tx(subnet_metadata.wanted, share_server_id, subnet_id, list(keys))
        if wanted is None:
            return
        effect(driver_calls.update_share_network_subnet_from_metadata, wanted.host, wanted.server, subnet_id, wanted.metadata)
        tx(subnet_metadata.handed_over, share_server_id, subnet_id, sorted(wanted.metadata))
