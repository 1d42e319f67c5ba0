"""What tempest plays against: a real Keystone, and Abaca with the fake back ends of a cloud, known
to its catalogue. Below a temporary folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from keystoneauth1.adapter import Adapter

from tests.databases import PostgresqlCluster, PostgresqlDatabases, find_postgresql
from tests.openstack import keystone as keystone_module
from tests.openstack.keystone import ADMIN, PASSWORD, Keystone
from tests.service import Installation, installation
from tests.tempest import families, settings
from tests.tempest.families import Selection
from tests.tempest.settings import Cloud
from tests.tempest.suite import Outcome, Suite

SERVICE_TYPES = {"shared-file-system": "/v2", "sharev2": "/v2", "network": "/network"}
CIDR = "10.64.0.0/16"


@dataclass(frozen=True)
class Scene:
    """Everything that runs; a `suite` is how tempest is let loose on it."""

    cloud: Cloud
    service: Installation
    keystone: Keystone
    fault_plan: Path

    def suite(self, name: str, role: str) -> Suite:
        """tempest in a folder of its own; `role` is what each user has beside the roles that a test
        asks for."""
        folder = self.service.folder / name
        folder.mkdir()
        return Suite(
            folder,
            settings.tempest(
                self.cloud, folder, self.keystone.auth_url, PASSWORD, self.fault_plan, role=role
            ),
        )


@contextmanager
def scene(cloud: Cloud, keystone_template: Path, *, on_postgresql: bool = False) -> Iterator[Scene]:
    """All of it, running, on SQLite or a PostgreSQL of its own; ended and taken away afterwards."""
    with ExitStack() as running:
        service = running.enter_context(installation(config_text=""))
        keystone = Keystone(keystone_template, service.folder / "keystone")
        running.callback(keystone.stop)
        keystone.start()
        database = _postgresql(running) if on_postgresql else ""
        running.callback(lambda: service.has_ended() or service.stop())
        play = Scene(cloud, service, keystone, service.folder / "faults.json")
        _begin(play, database)
        yield play


def _postgresql(running: ExitStack) -> str:
    binaries = find_postgresql()
    if binaries is None:
        raise RuntimeError("PostgreSQL is not installed (Debian: postgresql)")
    cluster = PostgresqlCluster(binaries)
    running.callback(cluster.stop)
    cluster.start()
    return f"[database]\nconnection = {PostgresqlDatabases(cluster.port).create()}\n"


def _begin(play: Scene, database: str) -> None:
    service, keystone = play.service, play.keystone
    service.configure(
        settings.abaca(play.cloud, play.fault_plan)
        + database
        + keystone_module.section(keystone.service_user("abaca"))
    )
    service.start()
    for service_type, path in SERVICE_TYPES.items():
        keystone.register(service_type, service.url + path)
    session = keystone.client(ADMIN, project_name=ADMIN).session
    _furnish(Adapter(session, endpoint_override=service.url), play.cloud)


def _furnish(api: Adapter, cloud: Cloud) -> None:
    """What an administrator makes for all projects: the default types of shares and share groups,
    and the shared subnet, which share networks that name none are on."""
    specs = {"driver_handles_share_servers": cloud.has_share_servers}
    made = api.post("/v2/types", json={"share_type": {"name": "default", "extra_specs": specs}})
    kind = {"name": "default", "share_types": [made.json()["share_type"]["id"]]}
    api.post(
        "/v2/share-group-types",
        json={"share_group_type": kind},
        headers={"X-OpenStack-Manila-API-Version": "2.55"},
    )
    network = api.post(
        "/network/v2.0/networks", json={"network": {"name": "shared", "shared": True}}
    ).json()["network"]
    api.post(
        "/network/v2.0/subnets",
        json={"subnet": {"network_id": network["id"], "cidr": CIDR, "ip_version": 4}},
    )


@dataclass(frozen=True)
class Ended:
    """How one call of tempest ended, and what it said beside its results."""

    name: str
    outcomes: list[Outcome]
    said: str


def played(
    selections: Iterable[Selection],
    *,
    workers: int,
    seconds: float,
    keystone_template: Path,
    on_postgresql: bool = False,
) -> Iterator[Ended]:
    """Run them, those on one cloud in one scene; each for so many seconds at most."""
    for cloud, of_cloud in groupby(selections, lambda selection: selection.run.cloud):
        with scene(cloud, keystone_template, on_postgresql=on_postgresql) as play:
            for run, patterns in of_cloud:
                suite = play.suite(run.name, run.role)
                outcomes = suite.run(
                    patterns, workers=workers, seconds=seconds, but=families.excluded()
                )
                yield Ended(run.name, outcomes, suite.log())
