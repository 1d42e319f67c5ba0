"""What every file service must do: the contract of `file_services/interface.py`, tried without
wires and the driver.

A cable leads from the server's network namespace to a client's. What is published is mounted from a
pool, as the interface wants it.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest

from abaca.drivers.linux import mounts
from abaca.drivers.linux.back_end import DEFAULTS
from abaca.drivers.linux.file_services.interface import Export, FileService, FileServices
from abaca.drivers.linux.file_services.nfs.ganesha import GANESHA
from abaca.drivers.linux.file_services.nfs.service import NfsServices
from abaca.drivers.linux.layout import Layout, ServerLayout
from abaca.drivers.linux.pools.interface import FileSystems
from abaca.drivers.linux.processes import by_pid_file
from abaca.errors import BackendError
from abaca.values import AccessRule, NetworkAllocation, NetworkInfo, Subnet
from tests.contracts.drivers.linux_site import EVERYBODY, access_of, rule
from tests.contracts.drivers.wired_hosts import Machine
from tests.contracts.seams.installation import pools
from tests.stack import wait_for

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

SERVER, CLIENT, STRANGER = "10.0.0.5", "10.0.0.20", "10.0.0.21"
ALL = [rule(to) for to in EVERYBODY]
DEATH_SECONDS = 60.0


class Kind(NamedTuple):
    """Makes the services of a back end; the process that serves; how a client finds a share: `rw`,
    `ro` or `none`."""

    make: Callable[[], FileServices]
    process: Callable[[ServerLayout], int | None]
    access: Callable[[str, str], str]


KINDS = {
    "nfs": Kind(
        make=lambda: NfsServices(DEFAULTS, connections=512),
        process=lambda server: by_pid_file(server.ganesha_pid, GANESHA),
        access=access_of,
    )
}


class Scene:
    """The service of one share server, whose client has a cable to it."""

    def __init__(self, kind: Kind, layout: Layout, file_systems: FileSystems) -> None:
        self.kind = kind
        self.server = layout.server(str(uuid.uuid4()))
        self.pool = file_systems.of(self.server.id)
        self.machine = Machine(self.server.namespace)
        self.client = Machine(f"{layout.namespace}.client-{self.server.id[:8]}")
        self.machine.cable("eth0", self.client, "eth0")
        self.machine.configure("eth0", f"{SERVER}/24")
        self.client.configure("eth0", f"{CLIENT}/24")
        self.services, self.service = self.again()
        self.service.prepare()
        self.service.close_to_strangers()
        self.made: list[str] = []

    def again(self) -> tuple[FileServices, FileService]:
        """As a new worker has them, that remembers nothing."""
        services = self.kind.make()
        return services, services.of(self.server, self.pool.counts)

    def share(self, rules: Sequence[AccessRule] = (), *, is_snapshot: bool = False) -> Export:
        """One that is mounted, and not yet published."""
        made = str(uuid.uuid4())
        self.pool.create(made, 1)
        self.made.append(made)
        self.mount(made)
        return Export(made, rules, is_snapshot=is_snapshot)

    def mount(self, share_id: str) -> None:
        assert self.pool.mount(share_id, self.server.mount_point(share_id))

    def publish(self, *exports: Export) -> dict[str, str]:
        return self.service.publish(exports, {export.id for export in exports})

    def access(self, export: Export) -> str:
        return self.kind.access(self.client.namespace, self.services.path(SERVER, 4, export))

    def kill(self) -> None:
        pid = self.kind.process(self.server)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.kind.process(self.server) is None)

    def remove(self) -> None:
        self.service.stop()
        mounts.unmount(self.server.state)
        mounts.unmount(self.server.run)
        self.client.remove()
        self.machine.remove()
        for share_id in self.made:
            self.pool.delete(share_id)


@pytest.fixture(scope="module")
def file_systems(layout: Layout) -> FileSystems:
    made = pools(layout)
    made.prepare()
    return made


@pytest.fixture(params=KINDS)
def scene(
    request: pytest.FixtureRequest, layout: Layout, file_systems: FileSystems
) -> Iterator[Scene]:
    made = Scene(KINDS[request.param], layout, file_systems)
    yield made
    made.remove()


def test_clients_use_what_is_published_by_exactly_its_rules(scene: Scene) -> None:
    share, other = scene.share(), scene.share([rule(STRANGER)])
    assert scene.publish(share, other) == {}
    assert (scene.access(share), scene.access(other)) == ("none", "none")
    steps = [
        (rule(CLIENT), "rw"),
        (rule(CLIENT, "ro"), "ro"),
        (rule(STRANGER), "none"),
        (rule(f"{CLIENT}/30"), "rw"),
        (None, "none"),
    ]
    for given, found in steps:
        rules = [given] if given else []
        assert scene.service.publish([share._replace(access_rules=rules)], ()) == {}
        assert (scene.access(share), scene.access(other)) == (found, "none"), rules
    assert scene.service.published() == scene.again()[1].published() == {share.id, other.id}


def test_rules_that_cannot_be_enforced_are_told_and_grant_nothing(scene: Scene) -> None:
    good, bad = rule(CLIENT, "ro"), rule("somebody", "rw", "user")
    share = scene.share([bad, good])
    refused = scene.publish(share)
    assert refused.keys() == {bad.id} and "user" in refused[bad.id]
    assert scene.access(share) == "ro"
    strange = Export(share.id, [good], {"nfs:squash": "nobody_knows"})
    assert scene.service.publish([strange], ()).keys() == {good.id}
    assert scene.access(share) == "none"


def test_a_snapshot_is_published_under_a_path_of_its_own(scene: Scene) -> None:
    share, snapshot = (
        scene.share(ALL),
        scene.share([rule(to, "ro") for to in EVERYBODY], is_snapshot=True),
    )
    scene.publish(share, snapshot)
    assert (scene.access(share), scene.access(snapshot)) == ("rw", "ro")
    assert scene.access(snapshot._replace(is_snapshot=False)) == "none"


def test_what_fails_with_one_keeps_no_other_from_being_published(scene: Scene) -> None:
    share, lost, other = scene.share(ALL), Export("lost", ALL), scene.share(ALL)
    scene.service.ensure_running()
    with pytest.raises(BackendError):
        scene.publish(share, lost, other)
    assert (scene.access(share), scene.access(other)) == ("rw", "rw")


def test_what_is_withdrawn_is_gone_and_free(scene: Scene) -> None:
    share, other = scene.share(ALL), scene.share(ALL)
    scene.publish(share, other)
    for _ in range(2):
        scene.service.withdraw(share.id)
        assert scene.access(share) == "none"
    point = scene.server.mount_point(share.id)
    mounts.unmount(point)
    assert not mounts.mounts_below(point)
    scene.service.restart()
    assert (scene.access(share), scene.access(other)) == ("none", "rw")
    assert scene.service.published() == {other.id}


def test_what_is_served_without_being_published_is_taken_away(scene: Scene) -> None:
    """As a call leaves it that was cut off."""
    share, other = scene.share(ALL), scene.share(ALL)
    scene.publish(share, other)
    scene.server.export_file(share.id).unlink()
    scene.service.withdraw_unknown()
    assert (scene.access(share), scene.access(other)) == ("none", "rw")


def test_it_is_started_when_it_does_not_run_and_only_then(scene: Scene) -> None:
    assert not scene.service.restart(), "nothing was ever started"
    assert scene.kind.process(scene.server) is None
    assert scene.service.ensure_running()
    pid = scene.kind.process(scene.server)
    for service in (scene.service, scene.again()[1]):
        assert not service.ensure_running() and not service.restart()
        assert service.serves(lambda: True)
    assert scene.kind.process(scene.server) == pid


def test_one_that_has_died_is_named_and_comes_back_as_it_was(scene: Scene) -> None:
    share = scene.share(ALL)
    scene.publish(share)
    scene.kill()
    assert not scene.service.serves(lambda: True)
    assert scene.services.deaths(DEATH_SECONDS) == [scene.server.id]
    assert scene.services.deaths(0) == [], "each death once"
    assert scene.service.restart() and scene.service.serves(lambda: True)
    assert scene.access(share) == "rw"


def test_one_that_was_stopped_is_no_death_and_serves_nobody(scene: Scene) -> None:
    share = scene.share(ALL)
    scene.publish(share)
    for _ in range(2):
        scene.service.stop()
    assert scene.kind.process(scene.server) is None and not scene.service.serves(lambda: True)
    assert scene.services.deaths(0.5) == []
    assert scene.access(share) == "none"


def test_a_released_mount_point_is_free_until_it_is_published_again(scene: Scene) -> None:
    share, other = scene.share(ALL), scene.share(ALL)
    scene.publish(share, other)
    point = scene.server.mount_point(share.id)
    with scene.service.clients_paused():
        scene.service.release(share.id)
        mounts.unmount(point)
        assert not mounts.mounts_below(point) and share.id in scene.service.published()
        scene.mount(share.id)
        scene.publish(share)
    scene.service.resume_clients()
    assert (scene.access(share), scene.access(other)) == ("rw", "rw")


def test_a_new_mount_is_seen_and_a_lost_service_does_not_show_the_folder_below(
    scene: Scene,
) -> None:
    share = scene.share(ALL)
    scene.publish(share)
    assert scene.access(share) == "rw"
    written = scene.pool.path(share.id) / "file"
    assert written.read_bytes() == b"x"
    mounts.unmount(scene.server.mount_point(share.id))
    scene.mount(share.id)
    written.unlink()
    scene.publish(share)
    assert scene.access(share) == "rw" and written.read_bytes() == b"x", (
        "clients write into what is mounted now"
    )
    scene.service.stop()
    mounts.unmount(scene.server.mount_point(share.id))
    scene.service.restart()
    assert scene.access(share) == "none"


def test_locations_follow_the_subnets_and_prefer_the_first_of_each_version(scene: Scene) -> None:
    def on(cidr: str, version: int, *addresses: str) -> NetworkInfo:
        subnet = Subnet(neutron_net_id="net", neutron_subnet_id=cidr, cidr=cidr, ip_version=version)
        given = [
            NetworkAllocation(id=address, ip_address=address, mac_address="fa:16:3e:00:00:01")
            for address in addresses
        ]
        return NetworkInfo(
            server_id=scene.server.id,
            share_network_subnet_id=cidr,
            subnet=subnet,
            network_allocations=given,
        )

    networks = [
        on("10.0.0.0/24", 4, "10.0.0.5"),
        on("fd00::/64", 6, "fd00::5", "fd00::6"),
        on("10.1.0.0/24", 4, "10.1.0.5"),
    ]
    found = scene.services.locations(Export("share", networks=networks))
    addresses = [("10.0.0.5", 4), ("fd00::5", 6), ("fd00::6", 6), ("10.1.0.5", 4)]
    assert [location.path for location in found] == [
        scene.services.path(address, version, Export("share")) for address, version in addresses
    ]
    assert [location.ip_version for location in found] == [4, 6, 6, 4]
    assert [location.preferred for location in found] == [True, True, False, False]
