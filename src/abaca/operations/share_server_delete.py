"""Take an empty share server away: the server first, then its addresses, which nothing answers on
any more, then its rows."""

from __future__ import annotations

from abaca.domain.recovery import resumptions
from abaca.domain.share_servers import departed_share_servers, share_servers
from abaca.operations import serving
from abaca.workflow.steps import effect, tx, workflow


@workflow(on_failure=share_servers.mark_error, on_resume=resumptions.share_server_delete)
def share_server_delete(share_server_id: str) -> None:
    with serving.current().locks.exclusive(share_server_id):
        host = tx(share_servers.host_of, share_server_id)
        if host is None:
            return
        details = tx(share_servers.details_of, share_server_id)
        effect(serving.current().driver(host).teardown_server, share_server_id, details)
        effect(serving.current().networks.release, share_server_id)
        if serving.current().networks.MAY_COME_LATE:
            tx(departed_share_servers.remember, share_server_id)
        tx(share_servers.remove, share_server_id)
