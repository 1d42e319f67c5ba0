"""Share servers in CephFS that go from one host to another while a client writes and holds a lock:
planned, from a host that is dead, and from one whose worker is and whose NFS server lives on.

Two hosts are played by namespaces, each with a worker of its own; one PostgreSQL, a real Ceph, real
NFS servers. The client does what Linux does: it connects anew and reclaims.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

import pytest

from abaca.domain.server_moves import share_server_moves
from abaca.domain.services import hosts
from tests.ceph_cluster import Ceph
from tests.contracts.drivers.linux_backend import unavailable_reason
from tests.databases import Databases
from tests.e2e.test_several_hosts import share_on
from tests.nfs4.client import Client41, patiently
from tests.nfs4.writer import FILE, Writer, writing
from tests.operations.scene import server_of
from tests.played_hosts import PlayedHost, Town, on_ceph, stands_on, town
from tests.service import wait_until
from tests.stack import initialise

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow("two workers, a Ceph, and clients that wait for grace periods"),
    pytest.mark.timeout(600),
]

UNDERLAY = "10.99.8.{}/24"
LEASE = 15  # on a busy machine a shorter one is lost
V4 = "10.73.0.0/24"


@pytest.fixture(scope="module")
def two_hosts(
    tmp_path_factory: pytest.TempPathFactory, postgresql_databases: Databases, ceph: Ceph
) -> Iterator[Town]:
    if reason := unavailable_reason():
        pytest.skip(reason)
    url = postgresql_databases.create_from(initialise)
    more: dict[str, Any] = {"worker.lease_seconds": LEASE, "worker.watch_interval": 1.0}
    with town(tmp_path_factory.mktemp("hosts"), url, UNDERLAY, 2, on_ceph(ceph), **more) as made:
        yield made


def host_of(made: Town, server_id: str) -> tuple[PlayedHost, PlayedHost]:
    """Where the server stands, and the other one."""
    first, second = made.hosts
    here = stands_on(first.stack, server_id)
    return (first, second) if here == first.name else (second, first)


def evacuated(old: PlayedHost, new: PlayedHost, server_id: str) -> float:
    """Seconds from the command until the server stands."""
    wait_until(lambda: not old.lives(), "it lives", 60)
    began = time.monotonic()
    told = new.stack.do(share_server_moves.evacuate, old.name)
    assert told.going[server_id] == new.name, told
    new.takes_over(server_id)
    return time.monotonic() - began


@dataclass
class Scene:
    """A share on `path`, whose server stands on `old`; machines of each host."""

    old: PlayedHost
    new: PlayedHost
    server: str
    path: str
    network: str

    def machine(self, host: PlayedHost, name: str, number: int) -> str:
        return host.machine(name, self.network, f"10.73.0.{number}/24")


def scene_on(made: Town) -> Scene:
    """On a network of its own."""
    stack = made.hosts[0].stack
    (net,) = stack.network(V4)
    share = share_on(made.hosts[0], stack.share_network(net))
    server = server_of(stack, share)
    (path,) = stack.paths(share)
    return Scene(*host_of(made, server), server, path, net[0])


@pytest.fixture
def scene(two_hosts: Town) -> Scene:
    return scene_on(two_hosts)


def assert_went_on(writer: Writer, other: str, path: str) -> None:
    """The writer wrote on after what happened until now, and its lock keeps others out."""
    before, address = writer.written, path.partition(":/")[0]
    wait_until(lambda: writer.has_gone_on(before), lambda: f"{writer.written}", 30)
    assert not writer.errors
    assert writer.keeps_its_lock(other, address)
    with Client41(other, address) as second:
        file = second.open(second.handle_of(writer.folder), FILE)
        assert int(second.read(file)) >= before


def test_a_host_is_drained_while_a_client_writes(scene: Scene) -> None:
    old, new = scene.old, scene.new
    machine, other = scene.machine(old, "d1", 100), scene.machine(new, "d2", 101)
    with writing(machine, scene.path) as writer:
        began = time.monotonic()
        told = old.stack.do(share_server_moves.drain, old.name)
        assert told.going[scene.server] == new.name
        new.takes_over(scene.server)
        seconds = time.monotonic() - began
        assert_went_on(writer, other, scene.path)
    assert old.file_server(scene.server) is None and new.file_server(scene.server)
    old.stack.do(hosts.set_state, old.name, "up")
    print(f"drained in {seconds:.1f} s, longest stall {writer.stall:.1f} s")


def test_a_host_that_is_cut_off_but_alive_writes_no_more(scene: Scene) -> None:
    """Its worker is killed, its file server lives, reaches Ceph, and is written to by a client
    beside it until it is shut out. That it tries on is not seen here: its client may wait. That a
    write which it does try fails is shown by `tests/contracts/drivers/test_linux_cephfs.py`."""
    old, new = scene.old, scene.new
    beside, other = scene.machine(old, "z1", 110), scene.machine(new, "z2", 111)
    with writing(beside, scene.path) as writer:
        old.cut_off()
        evacuated(old, new, scene.server)
        zombie = old.file_server(scene.server)
        assert zombie is not None, "it lives"
        last = writer.written
        Event().wait(3)
        assert old.file_server(scene.server) == zombie
        assert writer.written == last, "what it does not write it does not acknowledge"
        with Client41(other, scene.path.partition(":/")[0]) as second:
            folder = second.handle_of(writer.folder)
            file = patiently(lambda: second.open(folder, FILE), 60)
            assert int(second.read(file)) == last, "nothing that it acknowledged is lost"
            second.write(file, 0, b"99999999")
            Event().wait(3)
            assert second.read(file, 0, 8) == b"99999999", "it writes nothing"
        old.come_back()
        wait_until(lambda: old.file_server(scene.server) is None, lambda: "it is there", 30)
        assert new.file_server(scene.server)


def test_a_client_goes_on_when_the_host_of_its_server_dies(scene: Scene) -> None:
    old, new = scene.old, scene.new
    machine, other = scene.machine(new, "e1", 120), scene.machine(new, "e2", 121)
    with writing(machine, scene.path) as writer:
        old.lose_power()
        seconds = evacuated(old, new, scene.server)
        assert_went_on(writer, other, scene.path)
    assert old.stack.ask(hosts.get, old.name)["state"] == "fenced"
    print(f"evacuated in {seconds:.1f} s, longest stall {writer.stall:.1f} s")
    old.come_back()
