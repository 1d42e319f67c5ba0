"""The back ends of this worker: which there are, made from the configuration, brought up and kept up."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca import config
from abaca.db.session import begin, read
from abaca.db.tables import share_instances, share_servers
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain import driver_values, service_reports
from abaca.domain.service_reports import Report
from abaca.drivers import registry
from abaca.drivers.interface import ShareDriver
from abaca.drivers.linux import requirements
from abaca.errors import BackendError, NoSpace, Refused
from abaca.values import Share, ShareServer

_LOG = logging.getLogger(__name__)


@dataclass
class Backend:
    """A back end that this worker serves. `reason` is None once it is up, until then it says why it is not."""

    host: str
    availability_zone: str
    driver: ShareDriver
    reason: str | None = "starting"


def default_backend() -> tuple[str, list[str]]:
    """The driver to run when none is configured, and what the machine lacks when it is not the Linux one."""
    missing = requirements.missing()
    return ("fake", missing) if missing else ("linux", [])


def load(conf: cfg.ConfigOpts) -> list[Backend]:
    """The configured back ends, or one by what the machine has. Raises Unavailable for a driver that cannot be loaded."""
    names = conf.enabled_share_backends
    if not names:
        driver_name, missing = default_backend()
        if missing:
            _LOG.warning("serving with the fake back end, which keeps no data, because the Linux one lacks: %s", "; ".join(missing))
        return [_backend(conf, driver_name, driver_name, conf.storage_availability_zone)]
    return [_backend(conf, name, *config.backend_driver(conf, name)) for name in names]


def bring_up(engine: Engine, backend: Backend) -> None:
    """Prepare the back end and everything on it from the database. Until that has worked it does not count as up."""
    try:
        backend.driver.check_for_setup_error()
        for server_id in _server_ids(engine, backend.host):
            with read(engine) as conn:
                server = driver_values.standing_server(conn, server_id)
                shares = driver_values.shares(conn, _standing_shares(server_id))
            _ensure(backend, server, shares)
    except BackendError as error:
        backend.reason = error.message
        _LOG.error("back end %s is not ready: %s", backend.host, error.message)
    else:
        backend.reason = None
        _LOG.info("back end %s is up", backend.host)


def _ensure(backend: Backend, server: ShareServer, shares: Sequence[Share]) -> None:
    """What is refused for good on one server must not keep the others down."""
    try:
        backend.driver.ensure_server(server, shares)
    except (Refused, NoSpace) as error:
        _LOG.error("share server %s is not as it should be: %s", server.id, error.message)


def report(engine: Engine, conf: cfg.ConfigOpts, backend: Backend) -> None:
    """Give a sign of life with the capacities of the pools."""
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
        security_service_update_support=capabilities.security_service_update_support,
    )
    pools = backend.driver.get_pools() if backend.reason is None else []
    with begin(engine) as conn:
        service_reports.report(conn, sign, pools)


def _backend(conf: cfg.ConfigOpts, name: str, driver_name: str, zone: str) -> Backend:
    options = _defaults(conf, driver_name, name) | config.backend_options(conf, name, registry.driver_class(driver_name).OPTIONS)
    return Backend(host=f"{conf.host}@{name}", availability_zone=zone, driver=registry.load(driver_name, name, options))


def _defaults(conf: cfg.ConfigOpts, driver_name: str, name: str) -> dict[str, str]:
    """Options that follow from where this installation stands; two of them on one machine do not meet."""
    worker_dir = config.state_path(conf, "worker")
    if driver_name == "linux":
        return {"state_dir": str(worker_dir), "namespace": network_namespace(conf)}
    if driver_name == "fake":
        return {"state_file": str(worker_dir / f"{name}.json")}
    return {}


def network_namespace(conf: cfg.ConfigOpts) -> str:
    """The name of Abaca's own network namespace: `abaca`, or with a suffix for a state directory of one's own."""
    if conf.state_dir == "/var/lib/abaca":
        return "abaca"
    return "abaca" + hashlib.sha256(conf.state_dir.encode()).hexdigest()[:5]


def _server_ids(engine: Engine, host: str) -> list[str]:
    """The servers that serve: also one in error because it could not be given a new subnet, on its old ones. Those in the making or on
    their way out are the business of the work that makes or deletes them."""
    waiting = sa.select(mappings.c.share_server_id).where(~mappings.c.is_served)
    serving = share_servers.c.status.in_(("active", "network_change")) | ((share_servers.c.status == "error") & share_servers.c.id.in_(waiting))
    with read(engine) as conn:
        return list(conn.scalars(sa.select(share_servers.c.id).where(share_servers.c.host == host, serving).order_by(share_servers.c.created_at)))


def _standing_shares(server_id: str) -> sa.ColumnElement[bool]:
    return (share_instances.c.share_server_id == server_id) & (share_instances.c.status != "deleting")
