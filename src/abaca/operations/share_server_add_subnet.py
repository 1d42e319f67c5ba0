"""Give a share server in use addresses on one more subnet. One workflow per server; the last one
makes the share network active again.

Machines of others decide whether there are addresses. A server that could not be given any, and
whose back end has not been asked to change it, stays in use as it is.
"""

from __future__ import annotations

import logging

from abaca import log_context
from abaca.domain.network_changes import share_server_networks, share_server_repairs
from abaca.errors import BackendError
from abaca.operations import driver_calls, serving
from abaca.operations.address_allocation import allocate
from abaca.operations.share_server_abandon_subnet import take_back
from abaca.workflow.steps import effect, later, tx, workflow

_LOG = logging.getLogger(__name__)


@workflow(
    on_failure=share_server_networks.fail_addition, on_resume=share_server_repairs.resume_addition
)
def share_server_add_subnet(share_server_id: str, subnet_id: str) -> None:
    with serving.current().locks.exclusive(share_server_id):
        server = tx(share_server_networks.to_extend, share_server_id, subnet_id)
        if server is None:
            return
        try:
            given = allocate(share_server_id, server.host, server.places)
        except BackendError as error:
            if server.has_addresses:  # the driver may have been given them
                raise
            _undo(share_server_id, subnet_id, server.host, error)
            return
        tx(share_server_networks.store_allocations, share_server_id, given)
        addition = later(share_server_networks.addition, share_server_id, subnet_id)
        update = effect(
            driver_calls.update_share_server_network_allocations,
            server.host,
            share_server_id,
            addition,
        )
        tx(share_server_networks.finish_addition, share_server_id, subnet_id, update)


def _undo(share_server_id: str, subnet_id: str, host: str, error: BackendError) -> None:
    """Raises BackendError when that fails, too: then the addition has failed."""
    _LOG.warning(
        "share server %s does not get subnet %s: no addresses could be allocated there: %s",
        share_server_id,
        subnet_id,
        error.message,
    )
    take_back(share_server_id, subnet_id, host)
    reason = error.public_text(log_context.request_id())
    tx(share_server_repairs.undone, share_server_id, subnet_id, reason)
