"""Take a failed addition of a subnet back: the server first, to its old subnets, then the
addresses, which nothing answers on any more."""

from __future__ import annotations

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.network_changes import share_server_networks, share_server_repairs
from abaca.domain.share_servers import share_servers
from abaca.operations import driver_calls, serving
from abaca.workflow.steps import effect, tx, workflow


@workflow(
    on_failure=share_server_networks.fail_addition,
    on_resume=share_server_repairs.resume_abandonment,
)
def share_server_abandon_subnet(share_server_id: str, subnet_id: str) -> None:
    with serving.current().locks.exclusive(share_server_id):
        host = tx(share_servers.host_of, share_server_id)
        if host is None:
            return
        take_back(share_server_id, subnet_id, host)
        tx(share_server_repairs.abandoned, share_server_id, subnet_id)


def take_back(share_server_id: str, subnet_id: str, host: str) -> None:
    """Have the back end serve on the server's old subnets alone, whatever it knows of the new one;
    then give the addresses there back. Raises BackendError."""
    server = tx(driver_values.share_server, share_server_id)
    shares = tx(driver_values.shares_of_server, share_server_id)
    snapshots = tx(snapshot_values.of_server, share_server_id)
    effect(driver_calls.ensure_server, host, server, shares, snapshots)
    effect(serving.current().networks.release, share_server_id, [subnet_id])
