"""Ask one back end whether its share servers may change to a security service. Changes nothing but
the answer."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from abaca.domain.driver_views import driver_values
from abaca.domain.network_changes import security_service_changes, share_network_checks
from abaca.domain.network_changes.security_service_changes import ChangeRequest
from abaca.errors import Refused
from abaca.operations import driver_calls
from abaca.workflow.steps import effect, later, tx, workflow


def fail(conn: Connection, check_id: str, service_host: str, reason: str) -> None:
    """Whatever goes wrong is a denial: a check is never left without an answer."""
    security_service_changes.answered(conn, check_id, service_host, reason)


@workflow(on_failure=fail, is_check=True)
def share_network_security_service_check(check_id: str, service_host: str) -> None:
    inquiry = tx(share_network_checks.asked, check_id, service_host)
    if inquiry is None:
        return
    wanted = ChangeRequest(**inquiry.request)
    for server_id in inquiry.server_ids:
        server = later(driver_values.share_server, server_id)
        shares = later(driver_values.shares_of_server, server_id)
        check = driver_calls.check_update_share_server_security_service
        if not effect(check, service_host, server, shares, wanted.new_id, wanted.current_id or ""):
            raise Refused(
                f"The back end of share server {server_id} refused without giving a reason.",
                is_public=True,
            )
    tx(security_service_changes.answered, check_id, service_host, None)
