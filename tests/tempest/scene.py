"""What tempest plays against: a real Keystone, and Abaca with five fake back ends, known to its
catalogue. Below a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from keystoneauth1.adapter import Adapter

from tests.databases import PostgresqlCluster, PostgresqlDatabases, find_postgresql
from tests.openstack import keystone as keystone_module
from tests.openstack.keystone import ADMIN, PASSWORD, Keystone
from tests.service import Installation, installation
from tests.tempest import settings
from tests.tempest.suite import Suite

SERVICE_TYPES = {"shared-file-system": "/v2", "sharev2": "/v2", "network": "/network"}
CIDR = "10.64.0.0/16"


@dataclass(frozen=True)
class Scene:
    """Everything that runs; `suite` is how tempest is let loose on it, `roles` the same for its
    tests of roles."""

    service: Installation
    keystone: Keystone
    suite: Suite
    roles: Suite


@contextmanager
def scene(keystone_template: Path | None = None, *, on_postgresql: bool = False) -> Iterator[Scene]:
    """All of it, running, on SQLite or a PostgreSQL of its own; ended and taken away afterwards."""
    with ExitStack() as running:
        service = running.enter_context(installation(config_text=""))
        template = keystone_template or keystone_module.make_template(service.folder / "template")
        keystone = Keystone(template, service.folder / "keystone")
        running.callback(keystone.stop)
        keystone.start()
        database = _postgresql(running) if on_postgresql else ""
        running.callback(lambda: service.has_ended() or service.stop())
        yield _play(service, keystone, database)


def _postgresql(running: ExitStack) -> str:
    binaries = find_postgresql()
    if binaries is None:
        raise RuntimeError("PostgreSQL is not installed (Debian: postgresql)")
    cluster = PostgresqlCluster(binaries)
    running.callback(cluster.stop)
    cluster.start()
    return f"[database]\nconnection = {PostgresqlDatabases(cluster.port).create()}\n"


def _play(service: Installation, keystone: Keystone, database: str) -> Scene:
    fault_plan = service.folder / "faults.json"
    service.configure(
        settings.abaca(fault_plan)
        + database
        + keystone_module.section(keystone.service_user("abaca"))
    )
    service.start()
    for service_type, path in SERVICE_TYPES.items():
        keystone.register(service_type, service.url + path)
    _furnish(
        Adapter(keystone.client(ADMIN, project_name=ADMIN).session, endpoint_override=service.url)
    )

    def suite(name: str, *, multitenancy: bool) -> Suite:
        folder = service.folder / name
        folder.mkdir()
        return Suite(
            folder,
            settings.tempest(
                folder, keystone.auth_url, PASSWORD, fault_plan, multitenancy=multitenancy
            ),
        )

    return Scene(
        service, keystone, suite("tempest", multitenancy=True), suite("roles", multitenancy=False)
    )


def _furnish(api: Adapter) -> None:
    """What an administrator makes for all projects: the default share type and the shared subnet,
    which share networks that name none are on."""
    specs = {"driver_handles_share_servers": True}
    api.post("/v2/types", json={"share_type": {"name": "default", "extra_specs": specs}})
    network = api.post(
        "/network/v2.0/networks", json={"network": {"name": "shared", "shared": True}}
    ).json()["network"]
    api.post(
        "/network/v2.0/subnets",
        json={"subnet": {"network_id": network["id"], "cidr": CIDR, "ip_version": 4}},
    )
