"""Bring everything on a back end into the described state, as when its worker starts: each existing
server with its shares, and what is on no server."""

from __future__ import annotations

import logging

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.services import services
from abaca.domain.share_servers import share_servers
from abaca.domain.snapshots import share_snapshot_instances
from abaca.errors import NoSpace, Refused
from abaca.operations import driver_calls, serving
from abaca.values import ServerUpdate
from abaca.workflow.steps import effect, later, tx, workflow

_LOG = logging.getLogger(__name__)


@workflow(on_failure=services.ensured)
def service_ensure_shares(service_host: str) -> None:
    mine = serving.current().worker_host
    for server_id in tx(share_servers.serving_ids, service_host, mine):
        with serving.current().locks.exclusive(server_id):
            if not tx(share_servers.is_serving, server_id, mine):
                continue  # it went while its lock was waited for
            server = later(driver_values.server_with_added_subnets, server_id)
            shares = later(driver_values.shares_of_server, server_id)
            snapshots = later(snapshot_values.of_server, server_id)
            try:
                effect(driver_calls.ensure_server, service_host, server, shares, snapshots)
            except (Refused, NoSpace) as error:
                # What cannot be mended on one must not keep the others waiting.
                _LOG.error("share server %s could not be ensured: %s", server_id, error.message)
    driver = serving.current().driver(service_host)
    if not driver.capabilities.driver_handles_share_servers:
        with serving.back_end(service_host):
            shares = later(driver_values.shares_of_back_end, service_host)
            snapshots = later(snapshot_values.of_back_end, service_host)
            try:
                moved: ServerUpdate | None = effect(driver.ensure_shares, shares, snapshots)
                if moved is not None:
                    tx(share_snapshot_instances.moved, moved)
            except (Refused, NoSpace) as error:
                _LOG.error("back end %s could not be ensured: %s", service_host, error.message)
    tx(services.ensured, service_host)
