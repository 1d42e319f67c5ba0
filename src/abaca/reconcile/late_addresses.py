"""Release addresses that appeared after their share server was deleted: a request for them was
given up, and fulfilled later.

Only for servers that were deleted here. Other addresses that a network plug-in holds may belong to
another installation, or to an unmanaged server.
"""

from __future__ import annotations

import logging
from functools import partial

from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.domain.share_servers import departed_share_servers
from abaca.errors import BackendError
from abaca.operations import serving
from abaca.workflow import deadlines
from abaca.workflow.runtime import Runtime

_LOG = logging.getLogger(__name__)

LATEST_SECONDS = 600.0
"""Longer than any request that was given up is still carried out."""


def give_back(
    engine: Engine, hosts: set[str], runtime: Runtime, after_seconds: float = LATEST_SECONDS
) -> None:
    """Release the addresses of deleted servers of these back ends (host@backend) once more, so many
    seconds after their deletion, and forget the servers."""
    with read(engine) as conn:
        server_ids = departed_share_servers.due(conn, hosts, after_seconds)
    for server_id in server_ids:
        # it may be managed again meanwhile, which takes addresses over
        with serving.current().locks.exclusive(server_id):
            with read(engine) as conn:
                is_gone = departed_share_servers.is_remembered(conn, server_id)
            try:
                if is_gone:
                    deadlines.call(
                        partial(serving.current().networks.release, server_id), "release", runtime
                    )
            except BackendError as error:
                _LOG.warning(
                    "cannot tell yet whether share server %s has late addresses: %s",
                    server_id,
                    error.message,
                )
                continue
            with begin(engine) as conn:
                departed_share_servers.forget(conn, server_id)
