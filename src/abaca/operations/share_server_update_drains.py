"""Tell the driver of a share server which of its subnets drain, and store what is reached elsewhere
now. One workflow a server."""

from __future__ import annotations

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.network_changes import subnet_drains
from abaca.operations import serving
from abaca.workflow.steps import effect, later, tx, workflow


@workflow(on_failure=subnet_drains.fail)
def share_server_update_drains(share_server_id: str, subnet_id: str) -> None:
    with serving.current().locks.exclusive(share_server_id):
        wanted = tx(subnet_drains.to_tell, share_server_id)
        if wanted is None:
            return
        server = later(driver_values.server_with_added_subnets, share_server_id)
        shares = later(subnet_drains.shares_to_tell, share_server_id)
        snapshots = later(snapshot_values.of_server, share_server_id)
        driver = serving.current().driver(wanted.host)
        update = effect(driver.update_share_server_drains, server, shares, snapshots)
        tx(subnet_drains.told, share_server_id, subnet_id, update)
