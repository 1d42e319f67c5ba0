"""Who is connected to a share server of the Linux back end: real clients, of each version of NFS
that it serves, over IPv4 and IPv6; and hostile ones."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from abaca.drivers.linux import namespaces
from abaca.errors import OutcomeUnknown, Unavailable
from abaca.values import Client as Connected
from abaca.values import OpenFiles, Share, ShareServer
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, path, rule
from tests.nfs4.client import Client, Client40, Client41, patiently
from tests.stack import wait_for

pytestmark = [pytest.mark.root, pytest.mark.timeout(300), pytest.mark.sampled_file(4)]

SERVERS = ("10.0.0.5", "fd00::5")
ADDRESSES = ("10.0.0.20", "fd00::20")
STRANGER = ("10.0.0.99/24", "fd00::99/64")
MANY = 60


class Scene:
    """A server on IPv4 and IPv6 with two shares, and a client that may use both."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.server: ShareServer = site.server(*BOTH)
        allowed = [rule(address) for address in ADDRESSES]
        self.share, self.other = (site.share(self.server, rules=allowed) for _ in range(2))
        self.client = site.client("client", "net", *CLIENT)

    def told(self) -> dict[tuple[str, str], Connected]:
        """By the addresses of client and server."""
        found = self.site.driver.get_clients(self.server)
        assert found is not None and found.is_complete
        by_addresses = {(each.address, each.server_address): each for each in found.listed}
        assert len(by_addresses) == len(found.listed)
        return by_addresses

    @property
    def pid(self) -> int:
        return int(self.site.layout(self.server).ganesha_pid.read_text())


@pytest.fixture
def scene(site: Site) -> Scene:
    return Scene(site)


def folder(client: Client, share: Share) -> bytes:
    return client.handle_of(path(share).split(":", 1)[1])


def opened(client: Client, share: Share, name: str) -> Any:
    return patiently(lambda: client.open(folder(client, share), name, create=True))


@pytest.mark.parametrize(
    ("version", "spoken", "number"),
    [(Client40, "4.0", 0), (Client40, "4.0", 1), (Client41, "4.1", 0), (Client41, "4.1", 1)],
)
def test_a_client_with_what_it_has_open(
    scene: Scene, version: Callable[..., Client], spoken: str, number: int
) -> None:
    key = (ADDRESSES[number], SERVERS[number])
    assert scene.told() == {}
    with version(scene.client, SERVERS[number]) as client:
        assert scene.told()[key].open_files == {}
        one, two = (opened(client, scene.share, name) for name in ("one", "two"))
        opened(client, scene.other, "three")
        for start in (0, 100):
            client.lock(one, offset=start, length=10)
        found = scene.told()
        assert set(found) == {key}
        assert found[key].protocol == "NFS" and found[key].protocol_version == spoken
        assert found[key].connections == 1
        assert found[key].idle_seconds is not None
        assert found[key].open_files == {
            scene.share.id: OpenFiles(files=2, locks=2),
            scene.other.id: OpenFiles(files=1, locks=0),
        }
        client.close(two)
        files = scene.told()[key].open_files
        assert files is not None and files[scene.share.id] == OpenFiles(files=1, locks=2)
    wait_for(lambda: scene.told() == {})


def test_many_connections_of_one_machine_are_one_client(scene: Scene) -> None:
    with connections(scene.client, SERVERS[0], MANY):
        ((key, client),) = wait_for_all(scene, MANY).items()
        assert key == (ADDRESSES[0], SERVERS[0])
        assert client.connections == MANY
        assert client.protocol_version is None, "it has said nothing yet"
    wait_for(lambda: scene.told() == {})


def test_a_client_on_two_addresses_of_the_server_is_two(scene: Scene) -> None:
    with Client41(scene.client, SERVERS[0]) as first, Client41(scene.client, SERVERS[1]):
        opened(first, scene.share, "one")
        found = scene.told()
        assert set(found) == {tuple(pair) for pair in zip(ADDRESSES, SERVERS, strict=True)}
        files = [found[key].open_files for key in sorted(found)]
        assert files == [{scene.share.id: OpenFiles(files=1, locks=0)}, {}]


def test_who_is_not_admitted_is_no_client(scene: Scene) -> None:
    stranger = scene.site.client("stranger", "net", *STRANGER)
    for server in SERVERS:
        with pytest.raises(OutcomeUnknown, match="refused"), connections(stranger, server, 1):
            pass
    assert scene.told() == {}


def test_a_server_that_hangs_does_not_keep_its_clients_secret(scene: Scene) -> None:
    """They are the kernel's to tell; what only the server knows is left out."""
    with Client41(scene.client, SERVERS[0]) as client:
        opened(client, scene.share, "one")
        os.kill(scene.pid, signal.SIGSTOP)
        try:
            found = scene.told()[ADDRESSES[0], SERVERS[0]]
        finally:
            os.kill(scene.pid, signal.SIGCONT)
        assert found.protocol_version is None
        assert found.open_files == {scene.share.id: OpenFiles(files=1, locks=0)}


def test_of_a_server_that_has_died_nobody_says_that_it_has_no_clients(scene: Scene) -> None:
    with Client41(scene.client, SERVERS[0]):
        pid = scene.pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: scene.site.ganesha(scene.server)._pid() is None)
        with pytest.raises(Unavailable, match="does not run"):
            scene.site.driver.get_clients(scene.server)


def test_while_clients_of_before_may_come_back_nobody_says_that_these_are_all(
    scene: Scene,
) -> None:
    """NFS-Ganesha keeps a record of each until its grace is over; here one is put there."""
    record = scene.site.layout(scene.server).recovery / "v4old" / "node0" / "::ffff:10.0.0.20-(1:x)"
    assert record.parent.is_dir(), "where NFS-Ganesha keeps them"
    record.mkdir()
    told = scene.site.driver.get_clients(scene.server)
    assert told is not None and told.listed == [] and not told.is_complete
    record.rmdir()
    assert scene.told() == {}


def test_asking_waits_for_no_change_of_the_server(scene: Scene) -> None:
    with scene.site.driver._locked(scene.server.id):
        assert in_thread(scene.told) == {}


def in_thread(act: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(act).result()


def wait_for_all(scene: Scene, number: int) -> dict[tuple[str, str], Connected]:
    """Once the kernel has all connections: the last one may just be on its way."""
    wait_for(lambda: sum(client.connections for client in scene.told().values()) == number)
    return scene.told()


@contextmanager
def connections(netns: str, address: str, number: int) -> Iterator[None]:
    with ExitStack() as held:

        def connect() -> None:
            for _ in range(number):
                held.enter_context(socket.create_connection((address, 2049), timeout=10))

        namespaces.inside(netns, lambda _: connect())
        yield
