"""The back ends of this worker and its network plug-in, made from the configuration. Nothing is
contacted yet: see `upkeep.py`."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from oslo_config import cfg

from abaca import config
from abaca.drivers import registry
from abaca.drivers.interface import ShareDriver
from abaca.drivers.linux import requirements
from abaca.errors import Unavailable
from abaca.networks import registry as networks
from abaca.networks.interface import NetworkPlugin
from abaca.networks.local import PortStore

_LOG = logging.getLogger(__name__)


@dataclass
class Backend:
    """A back end of this worker. `reason`: None if it is up, otherwise why it is not.

    `unserved`: how many of its share servers did not serve at the last look. `restarts`: how often
    servers had to be recovered. `is_shared`: workers of other hosts may serve it, too.
    """

    host: str
    availability_zone: str
    driver: ShareDriver
    reason: str | None = "starting"
    unserved: int = 0
    restarts: int = 0
    is_shared: bool = False


def default_backend() -> tuple[str, list[str]]:
    """The driver used without configuration, and what the machine lacks if it is not `linux`."""
    missing = requirements.missing()
    return ("fake", missing) if missing else ("linux", [])


def load(conf: cfg.ConfigOpts) -> list[Backend]:
    """The configured back ends, or the default one. Raises Unavailable if a driver cannot be loaded
    or used."""
    names = conf.enabled_share_backends
    if not names:
        driver_name, missing = default_backend()
        if missing:
            _LOG.warning(
                "serving with the fake back end, which keeps no data, because the Linux one "
                "lacks: %s",
                "; ".join(missing),
            )
        return [make(conf, driver_name, driver_name, conf.storage_availability_zone)]
    return [make(conf, name, *config.backend_driver(conf, name)) for name in names]


def make(conf: cfg.ConfigOpts, name: str, driver_name: str, zone: str) -> Backend:
    """A back end of that name, which is not contacted yet. Raises Unavailable as `load` does, and
    for invalid options."""
    options = _defaults(conf, driver_name, name) | config.plugin_settings(
        conf, name, registry.driver_class(driver_name).OPTIONS
    )
    driver = registry.load(driver_name, name, options)
    host = config.backend_host(conf, name)
    is_shared = host != f"{conf.host}@{name}"
    backend = Backend(host=host, availability_zone=zone, driver=driver, is_shared=is_shared)
    if is_shared and not driver.is_shared:
        raise Unavailable(
            f"Back end {host}: backend_host is for storage that several hosts reach, which this is "
            "not. With the linux driver, set ceph_config."
        )
    needs_networks = driver.makes_networks and driver.capabilities.driver_handles_share_servers
    if conf.network_plugin != "local" and needs_networks:
        raise Unavailable(
            f"Back end {backend.host} reaches only networks that it makes itself, so it cannot "
            "work with "
            f"network_plugin = {conf.network_plugin}. With the linux driver, set "
            "physical_networks or "
            "vxlan_local_address."
        )
    return backend


def network_plugin(conf: cfg.ConfigOpts, store: PortStore) -> NetworkPlugin:
    """The configured network plug-in, which is not contacted yet. Raises Unavailable if it cannot
    be loaded or its options are invalid."""
    name = conf.network_plugin
    return networks.load(
        name, config.plugin_settings(conf, name, networks.plugin_class(name).OPTIONS), store
    )


def _defaults(conf: cfg.ConfigOpts, driver_name: str, name: str) -> dict[str, str]:
    """Options derived from the state directory, so that two installations on one machine do not
    collide."""
    worker_dir = config.state_path(conf, "worker")
    if driver_name == "linux":
        return {"state_dir": str(worker_dir), "namespace": network_namespace(conf)}
    if driver_name == "fake":
        return {"state_file": str(worker_dir / f"{name}.json")}
    return {}


def network_namespace(conf: cfg.ConfigOpts) -> str:
    """The name of Abaca's network namespace: `abaca`, with a suffix if the state directory is not
    the default one."""
    if conf.state_dir == "/var/lib/abaca":
        return "abaca"
    return "abaca" + hashlib.sha256(conf.state_dir.encode()).hexdigest()[:5]
