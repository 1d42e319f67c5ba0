"""Change a share server in use to another security service. One workflow per server; the last one
makes the share network active again."""

from __future__ import annotations

from abaca.domain.driver_views import driver_values
from abaca.domain.network_changes import security_service_changes
from abaca.domain.share_servers import share_servers
from abaca.operations import driver_calls, serving
from abaca.workflow.steps import effect, later, tx, workflow


@workflow(on_failure=security_service_changes.fail, on_resume=security_service_changes.resume)
def share_server_update_security_service(
    share_server_id: str, new_id: str, current_id: str
) -> None:
    with serving.current().locks.exclusive(share_server_id):
        host = tx(share_servers.host_of, share_server_id)
        if host is None:
            return
        server = later(driver_values.share_server, share_server_id)
        shares = later(driver_values.shares_of_server, share_server_id)
        details = effect(
            driver_calls.update_share_server_security_service,
            host,
            server,
            shares,
            new_id,
            current_id,
        )
        tx(security_service_changes.finish, share_server_id, details)
