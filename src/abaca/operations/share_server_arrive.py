"""Set a share server up on this host that stood on another one.

First whatever may still run there is shut out from its data: the host is gone for us, perhaps not
for itself. Until that is certain nothing is started here. A server that then does not stand is this
host's to bring back, as one of which the file server has died.
"""

from __future__ import annotations

import logging

from abaca import log_context
from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.server_moves import share_server_moves
from abaca.errors import BackendError, OutcomeUnknown, Refused, Unavailable
from abaca.operations import driver_calls, serving
from abaca.workflow.steps import effect, later, tx, workflow

_LOG = logging.getLogger(__name__)


@workflow(on_failure=share_server_moves.fail_arrival, on_resume=share_server_moves.resume_arrival)
def share_server_arrive(share_server_id: str, number: str) -> None:
    with serving.current().locks.exclusive(share_server_id):
        move = tx(share_server_moves.going_on, share_server_id, number)
        if move is None:
            return
        try:
            effect(_fence_server, move.host, share_server_id)
        except (Unavailable, OutcomeUnknown) as error:
            reason = error.public_text(log_context.request_id())
            tx(share_server_moves.not_shut_out, share_server_id, number, reason)
            return
        told: str | None = None
        if move.serves:
            server = later(driver_values.server_with_added_subnets, share_server_id)
            shares = later(driver_values.shares_of_server, share_server_id)
            snapshots = later(snapshot_values.of_server, share_server_id)
            try:
                effect(driver_calls.ensure_server, move.host, server, shares, snapshots)
            except BackendError as error:
                _LOG.error("share server %s does not stand yet: %s", share_server_id, error.message)
                told = error.public_text(log_context.request_id())
        tx(share_server_moves.arrived, share_server_id, number, told)


def _fence_server(service_host: str, share_server_id: str) -> None:
    """What is refused is asked again, too, until people have set right why: there may be no other
    host that the server could be sent to."""
    try:
        serving.current().driver(service_host).fence_server(share_server_id)
    except Refused as error:
        raise Unavailable(error.message, error.details, is_public=error.is_public) from error
