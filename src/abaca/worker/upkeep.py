"""Bringing back ends up, and reporting their state to the database."""

from __future__ import annotations

import logging

from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca.db.session import begin
from abaca.domain.services import service_reports
from abaca.domain.services.service_reports import Report
from abaca.errors import BackendError, Conflict
from abaca.reconcile import ensured_share_servers, moved_share_servers
from abaca.values import PoolStats
from abaca.worker.backends import Backend
from abaca.workflow import deadlines
from abaca.workflow.runtime import Runtime

_LOG = logging.getLogger(__name__)


def bring_up(engine: Engine, backend: Backend, runtime: Runtime) -> None:
    """Prepare the back end and ensure all its share servers. Until that succeeds it does not count
    as up."""
    try:
        deadlines.call(
            backend.driver.check_for_setup_error,
            f"check_for_setup_error of {backend.host}",
            runtime,
        )
        if backend.is_shared:
            moved_share_servers.leave(engine, backend.host, runtime)
        ensured_share_servers.ensure_all(engine, backend.host, runtime)
    except BackendError as error:
        backend.reason = error.message
        _LOG.error("back end %s is not ready: %s", backend.host, error.message)
    else:
        backend.reason = None
        _LOG.info("back end %s is up", backend.host)


def report(engine: Engine, conf: cfg.ConfigOpts, backend: Backend, lease_token: int) -> None:
    """Store a heartbeat with the capacities of the pools. A back end that cannot report them is no
    longer up. Without the lease of its host a worker reports nothing."""
    pools: list[PoolStats] = []
    if backend.reason is None:
        try:
            pools = backend.driver.get_pools()
        except BackendError as error:
            backend.reason = error.message
            _LOG.error("back end %s does not report its pools: %s", backend.host, error.message)
    capabilities = backend.driver.capabilities
    sign = Report(
        host=backend.host,
        worker_host=conf.host,
        availability_zone=backend.availability_zone,
        is_ready=backend.reason is None,
        reason=backend.reason,
        lasts=conf.service_down_time,
        network_allocations_number=backend.driver.get_network_allocations_number(),
        network_allocation_update_support=capabilities.network_allocation_update_support,
        share_server_subnet_removal_support=capabilities.share_server_subnet_removal_support,
        security_service_update_support=capabilities.security_service_update_support,
        unserved_share_servers=backend.unserved,
        share_server_restarts=backend.restarts,
        is_shared=backend.is_shared,
        reached_at=backend.driver.reached_at() if backend.is_shared else (),
        lease_token=lease_token,
    )
    try:
        with begin(engine) as conn:
            service_reports.report(conn, sign, pools)
    except Conflict as conflict:
        _LOG.error("back end %s is not reported: %s", backend.host, conflict.message)
