"""Take away what this host still has of share servers that stand on another one now: it was cut
off, or down, while they were taken over."""

from __future__ import annotations

import logging
from functools import partial

from sqlalchemy.engine import Engine

from abaca.db.session import read
from abaca.domain.share_servers import server_hosts
from abaca.errors import BackendError
from abaca.operations import serving
from abaca.workflow import deadlines
from abaca.workflow.runtime import Runtime

_LOG = logging.getLogger(__name__)


def leave(engine: Engine, service_host: str, runtime: Runtime) -> None:
    """Of the shared back end host@backend. One that cannot be taken away is tried again next
    time."""
    driver = serving.current().driver(service_host)
    here = set(deadlines.call(driver.servers_here, f"servers_here of {service_host}", runtime))
    for server_id in sorted(here & _elsewhere(engine, service_host, runtime)):
        with serving.current().locks.exclusive(server_id):
            if server_id not in _elsewhere(engine, service_host, runtime):
                continue  # it came back while its lock was waited for
            _LOG.warning("share server %s stands on another host now; it leaves this", server_id)
            try:
                deadlines.call(partial(driver.leave_server, server_id), "leave_server", runtime)
            except BackendError as error:
                _LOG.error("share server %s does not leave: %s", server_id, error.message)


def _elsewhere(engine: Engine, service_host: str, runtime: Runtime) -> set[str]:
    with read(engine) as conn:
        return server_hosts.elsewhere(conn, service_host, runtime.worker_host)
