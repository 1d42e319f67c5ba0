"""Ask one back end whether its share servers may give a subnet up. Changes nothing but the
answer."""

from __future__ import annotations

from abaca.domain.network_changes import subnet_removals
from abaca.operations import driver_calls
from abaca.operations.share_network_subnet_check import require_consent
from abaca.workflow.steps import tx, workflow


@workflow(on_failure=subnet_removals.answered, is_check=True)
def share_network_subnet_removal_check(check_id: str, service_host: str) -> None:
    inquiry = tx(subnet_removals.inquiry, check_id, service_host)
    if inquiry is None:
        return
    require_consent(
        driver_calls.server_that_keeps_subnet,
        service_host,
        inquiry.server_ids,
        inquiry.subnet_id,
    )
    tx(subnet_removals.answered, check_id, service_host, None)
