"""What is looked at on a machine with real file servers, broken by hand, and told: strays, what is
missing, shares that are open or closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from abaca.domain.share_networks import share_networks
from abaca.drivers.linux import inventory, namespaces
from abaca.drivers.linux.layout import Layout
from abaca.drivers.linux.programs import run
from abaca.drivers.linux.wires import plugging
from abaca.worker.backends import network_namespace
from tests.contracts.drivers.linux_backend import unavailable_reason
from tests.crash import linux_world, visits
from tests.crash.visitor import FILE
from tests.crash.visits import Visit
from tests.databases import SqliteDatabases
from tests.operations.scenarios import CIDRS, Ground
from tests.operations.scene import server_of
from tests.stack import MEMBER, Stack, initialise, make_conf

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("a whole installation on Linux, crashed"),
    pytest.mark.timeout(400),
]

BACKEND = "b1"


class Scene:
    """A share and a snapshot at rest on an IPv4 and an IPv6 subnet; the worker has ended. Clients
    on IPv4 may use the share."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.namespace = network_namespace(stack.conf)
        self.worker_folder = Path(stack.conf.state_dir, "worker")
        self.layout = Layout(self.namespace, self.worker_folder, BACKEND)
        with stack.working():
            network, self.share, _ = Ground(stack).snapshot()
        self.network_id = stack.ask(share_networks.get, MEMBER, network)["share_network_subnets"][
            0
        ]["neutron_net_id"]
        self.server = self.layout.server(server_of(stack, self.share))

    def told(self) -> str:
        return "\n".join(
            linux_world.violations(self.stack.engine, self.namespace, self.worker_folder, BACKEND)
        )

    def visited(self, *expected: bool) -> list[str]:
        """What a machine on the network has to say of the share's locations, when it expects them
        open or closed."""
        tried = [
            Visit(self.network_id, path, is_open)
            for path, is_open in zip(self.stack.paths(self.share), expected, strict=True)
        ]
        return visits.tried(self.namespace, self.network_id, CIDRS[:2], tried)


@pytest.fixture(scope="module")
def scene(
    sqlite_databases: SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    if reason := unavailable_reason():
        pytest.skip(reason)
    state_dir = tmp_path_factory.mktemp("state")
    state_dir.chmod(0o755)
    url = sqlite_databases.create_from(initialise)
    stack = Stack(
        make_conf(state_dir, url, {BACKEND: {"share_driver": "linux", "pool_sparse": "true"}})
    )
    try:
        stack.share_type()
        yield Scene(stack)
    finally:
        stack.close()
        inventory.remove_installation(network_namespace(stack.conf), state_dir / "worker")


def test_what_is_at_rest_is_right(scene: Scene) -> None:
    assert scene.told() == ""


def test_a_share_is_open_as_its_rules_say(scene: Scene) -> None:
    assert scene.visited(True, False) == []
    open_one, closed_one = scene.visited(False, True)
    assert "which is closed to network" in open_one and open_one.endswith("served")
    assert "which is open to network" in closed_one and not closed_one.endswith("served")


def test_what_a_visit_wrote_has_to_be_there_the_next_time(scene: Scene) -> None:
    assert scene.visited(True, False) == []
    (file,) = (scene.layout.state / "pool" / scene.namespace).glob(f"*/{FILE}")
    kept = [Visit(scene.network_id, scene.stack.paths(scene.share)[0], True, True)]
    assert visits.tried(scene.namespace, scene.network_id, CIDRS[:2], kept) == []
    file.write_text("something else")
    (lost,) = visits.tried(scene.namespace, scene.network_id, CIDRS[:2], kept)
    assert "holds 'something else' instead of" in lost


def test_strays_are_told(scene: Scene) -> None:
    stray = scene.layout.server("stray")
    namespaces.ensure(stray.namespace, {})
    stray.prepare()
    scene.server.export_file("stray").write_text("EXPORT { Export_Id = 7; }\n")
    subvolume = scene.layout.state / "pool" / scene.namespace / "stray"
    run("btrfs", "subvolume", "create", str(subvolume))
    namespaces.inside(
        scene.namespace, lambda links: links.link("add", ifname="stray", kind="bridge")
    )
    told = scene.told()
    strays = [
        line
        for line in told.splitlines()
        if "stray" in line and line.endswith("belongs to nothing")
    ]
    for kind in (
        "namespace",
        "folder of a server",
        "run folder of a server",
        "export file",
        "subvolume",
        "link",
    ):
        assert [line for line in strays if line.startswith(f"{kind} ")], told
    assert "export told to the NFS server" in told, "the file says of one that it does not have"


def test_what_is_missing_is_told(scene: Scene) -> None:
    (port, *_) = plugging.ports_in(scene.server.namespace)
    namespaces.inside(
        scene.namespace, lambda links: links.link("del", index=links.link_lookup(ifname=port)[0])
    )
    told = scene.told()
    for missing in (f"link {port}", f"port of {scene.server.id} {port}"):
        assert f"{missing} is not there" in told
    assert f"address of {scene.server.id}" in told, told
