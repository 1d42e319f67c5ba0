"""Setting a share server up: not a workflow of its own but the first part of making a share on it.

Whoever comes first does it; the others wait for its lock and find it done. It may run twice after a
crash: every step looks first.
"""

from __future__ import annotations

from sqlalchemy.engine import Connection

from abaca import log_context
from abaca.domain.network_changes import share_server_networks
from abaca.domain.network_changes.share_server_networks import Place
from abaca.domain.rows import states
from abaca.domain.rows.states import Permit
from abaca.domain.share_servers import share_servers
from abaca.errors import BackendError, Refused
from abaca.operations import driver_calls, serving
from abaca.operations.address_allocation import allocate
from abaca.workflow.steps import effect, tx


def make_sure_of_server(share_server_id: str, host: str) -> None:
    """Return when the server is set up. Raises BackendError when it cannot be, with nothing left of
    it but its row in error."""
    with serving.current().locks.exclusive(share_server_id):
        server = tx(share_server_networks.to_set_up, share_server_id)
        if server.status == "creating":
            _set_up(share_server_id, host, server.places)
        elif not states.SHARE_SERVER.permits(server.status, Permit.SERVE):
            raise Refused(
                "The share server is "
                f"{server.status}{f': {server.reason}' if server.reason else '.'}",
                is_public=True,
            )


def _set_up(share_server_id: str, host: str, places: list[Place]) -> None:
    try:
        given = allocate(share_server_id, host, places)
        network_info = tx(share_server_networks.with_allocations, share_server_id, given)
        details = effect(driver_calls.setup_server, host, share_server_id, network_info)
        tx(share_servers.mark_active, share_server_id, details)
    except BackendError as error:
        _undo(share_server_id, host, error.public_text(log_context.request_id()))
        raise


def _undo(share_server_id: str, host: str, reason: str) -> None:
    """In the opposite order. Addresses go back only when nothing answers on them any more."""
    try:
        effect(serving.current().driver(host).teardown_server, share_server_id, {})
        effect(serving.current().networks.release, share_server_id)
    except BackendError:
        tx(share_servers.mark_error, share_server_id, reason)
    else:
        tx(share_server_networks.fail_setup, share_server_id, reason)


def fail_if_creating(conn: Connection, share_server_id: str, reason: str) -> None:
    """A server whose set-up was cut off by an internal error does not stay in `creating`."""
    if share_servers.status_of(conn, share_server_id)[0] == "creating":
        share_servers.mark_error(conn, share_server_id, reason)
