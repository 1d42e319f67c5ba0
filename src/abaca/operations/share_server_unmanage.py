"""Unmanage a share server: it stays on its back end as it is, with its addresses, and is forgotten
here."""

from __future__ import annotations

import logging

from abaca.domain.network_changes import share_server_management as management
from abaca.domain.share_servers import share_servers
from abaca.errors import BackendError
from abaca.operations import serving
from abaca.workflow.steps import effect, tx, workflow

_LOG = logging.getLogger(__name__)


@workflow(on_failure=management.fail_unmanaging, on_resume=management.resume_unmanaging)
def share_server_unmanage(share_server_id: str, forced: str) -> None:
    with serving.current().locks.exclusive(share_server_id):
        host = tx(share_servers.host_of, share_server_id)
        if host is None:
            return
        details = tx(share_servers.details_of, share_server_id)
        try:
            effect(serving.current().driver(host).unmanage_server, share_server_id, details)
        except BackendError as error:
            if not forced:
                raise
            _LOG.warning(
                "share server %s is unmanaged by force: %s", share_server_id, error.message
            )
        tx(share_servers.remove, share_server_id)
