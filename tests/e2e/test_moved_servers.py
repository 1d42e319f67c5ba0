"""Share servers in CephFS that go from one host to another while a client writes and holds a lock:
planned, from a host that is dead, and from one that is only cut off and goes on writing.

Two hosts are played by namespaces, each with a worker of its own; one PostgreSQL, a real Ceph, real
NFS servers. The client does what Linux does: it connects anew and reclaims.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from abaca.db.tables import share_servers
from abaca.domain.server_moves import share_server_moves
from abaca.domain.services import hosts
from abaca.drivers.linux.file_services.nfs.ganesha import GANESHA
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from abaca.drivers.linux.layout import Layout
from abaca.drivers.linux.processes import by_pid_file
from tests.ceph_cluster import Ceph
from tests.contracts.drivers.linux_backend import unavailable_reason
from tests.databases import Databases
from tests.e2e.test_several_hosts import share_on
from tests.nfs4.client import Client41, patiently
from tests.operations.scene import server_of
from tests.played_hosts import PlayedHost, Town, town
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
    shared = {
        "backend_host": "cluster",
        "ceph_prefix": f"t{uuid4().hex[:8]}",
        **ceph.options(),
    }
    more: dict[str, Any] = {"worker.lease_seconds": LEASE, "worker.watch_interval": 1.0}
    with town(tmp_path_factory.mktemp("hosts"), url, UNDERLAY, 2, shared, **more) as made:
        yield made


@dataclass
class Writer:
    """A client that writes without pause, one number after another, and holds a lock. `written`:
    the last number that was acknowledged; `stall`: the longest time between two of them."""

    client: Client41
    folder: str
    errors: list[str] = field(default_factory=list)
    written: int = 0
    stall: float = 0.0
    stopping: Event = field(default_factory=Event)

    def run(self) -> None:
        client = self.client
        folder = client.handle_of(self.folder)
        self.file = patiently(lambda: client.open(folder, "written", create=True))
        self.lock = client.lock(self.file, offset=0, length=8)
        last = time.monotonic()
        while not self.stopping.is_set():
            number = self.written + 1
            try:
                client.persistently(
                    lambda number=number: patiently(  # type: ignore[misc]
                        lambda: client.write(self.file, 0, f"{number:08}".encode()), 60
                    )
                )
            except Nfs4Error as error:
                self.errors.append(repr(error))
                return
            self.written, now = number, time.monotonic()
            self.stall, last = max(self.stall, now - last), now
            self.stopping.wait(0.02)


@contextmanager
def writing(netns: str, path: str) -> Iterator[Writer]:
    with ExitStack() as undone:
        address, _, folder = path.partition(":/")
        writer = Writer(undone.enter_context(Client41(netns, address, patience=3.0)), folder)
        thread = Thread(target=writer.run, daemon=True)
        thread.start()
        try:
            wait_until(lambda: writer.written > 10 or bool(writer.errors), lambda: "the writer", 10)
            yield writer
        finally:
            writer.stopping.set()
            thread.join(90)
        assert not thread.is_alive()


def stands_on(host: PlayedHost, server_id: str) -> str | None:
    columns = share_servers.c.worker_host, share_servers.c.is_moving
    query = sa.select(*columns).where(share_servers.c.id == server_id)
    row = host.stack.ask(lambda conn: conn.execute(query).one())
    return None if row.is_moving else row.worker_host


def host_of(made: Town, server_id: str) -> tuple[PlayedHost, PlayedHost]:
    """Where the server stands, and the other one."""
    first, second = made.hosts
    here = stands_on(first, server_id)
    return (first, second) if here == first.name else (second, first)


def moved_to(new: PlayedHost, server_id: str) -> None:
    wait_until(lambda: stands_on(new, server_id) == new.name, lambda: "it moves", 60)


def evacuated(old: PlayedHost, new: PlayedHost, server_id: str) -> float:
    """Seconds from the command until the server stands."""
    wait_until(lambda: not old.stack.ask(hosts.get, old.name)["lives"], lambda: "it lives", 60)
    began = time.monotonic()
    told = new.stack.do(share_server_moves.evacuate, old.name)
    assert told.going[server_id] == new.name, told
    moved_to(new, server_id)
    return time.monotonic() - began


def come_back(host: PlayedHost) -> None:
    """With power, network and worker; shares are put on it again."""
    host.regain_power()
    host.start()
    wait_until(lambda: host.stack.ask(hosts.get, host.name)["lives"], lambda: "down", 60)
    host.stack.do(hosts.set_state, host.name, "up")
    host.wait_until_up()


def file_server(host: PlayedHost, server_id: str) -> int | None:
    """Its process on that host."""
    layout = Layout(host.namespace, host.state_dir / "worker", host.backend)
    return by_pid_file(layout.server(server_id).ganesha_pid, GANESHA)


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


@pytest.fixture
def scene(two_hosts: Town) -> Scene:
    stack = two_hosts.hosts[0].stack
    (net,) = stack.network(V4)
    share = share_on(two_hosts.hosts[0], stack.share_network(net))
    server = server_of(stack, share)
    (path,) = stack.paths(share)
    return Scene(*host_of(two_hosts, server), server, path, net[0])


def assert_went_on(writer: Writer, other: str, path: str) -> None:
    """The writer wrote on after what happened until now, and its lock keeps others out."""
    before = writer.written
    wait_until(
        lambda: writer.written > before + 10 or writer.errors, lambda: f"{writer.written}", 30
    )
    assert not writer.errors
    with Client41(other, path.partition(":/")[0]) as second:
        folder = second.handle_of(writer.folder)
        file = patiently(lambda: second.open(folder, "written"), 60)
        with pytest.raises(Nfs4Error, match="DENIED"):
            second.lock(file, offset=0, length=8)
        assert int(second.read(file)) >= before


def test_a_host_is_drained_while_a_client_writes(scene: Scene) -> None:
    old, new = scene.old, scene.new
    machine, other = scene.machine(old, "d1", 100), scene.machine(new, "d2", 101)
    with writing(machine, scene.path) as writer:
        began = time.monotonic()
        told = old.stack.do(share_server_moves.drain, old.name)
        assert told.going[scene.server] == new.name
        moved_to(new, scene.server)
        seconds = time.monotonic() - began
        assert_went_on(writer, other, scene.path)
    assert file_server(old, scene.server) is None and file_server(new, scene.server)
    old.stack.do(hosts.set_state, old.name, "up")
    print(f"drained in {seconds:.1f} s, longest stall {writer.stall:.1f} s")


def test_a_host_that_is_cut_off_but_alive_writes_no_more(scene: Scene) -> None:
    """Its worker is gone, its file server is not, and a client beside it writes by that."""
    old, new = scene.old, scene.new
    beside, other = scene.machine(old, "z1", 110), scene.machine(new, "z2", 111)
    with writing(beside, scene.path) as writer:
        old.cut_off()
        evacuated(old, new, scene.server)
        zombie = file_server(old, scene.server)
        assert zombie is not None, "it lives"
        last = writer.written
        Event().wait(3)
        assert file_server(old, scene.server) == zombie
        assert writer.written == last, "what it does not write it does not acknowledge"
        with Client41(other, scene.path.partition(":/")[0]) as second:
            folder = second.handle_of(writer.folder)
            file = patiently(lambda: second.open(folder, "written"), 60)
            assert int(second.read(file)) == last, "nothing that it acknowledged is lost"
            second.write(file, 0, b"99999999")
            Event().wait(3)
            assert second.read(file, 0, 8) == b"99999999", "it writes nothing"
        come_back(old)
        wait_until(lambda: file_server(old, scene.server) is None, lambda: "it is there", 30)
        assert file_server(new, scene.server)


def test_a_client_goes_on_when_the_host_of_its_server_dies(scene: Scene) -> None:
    old, new = scene.old, scene.new
    machine, other = scene.machine(new, "e1", 120), scene.machine(new, "e2", 121)
    with writing(machine, scene.path) as writer:
        old.lose_power()
        seconds = evacuated(old, new, scene.server)
        assert_went_on(writer, other, scene.path)
    assert old.stack.ask(hosts.get, old.name)["state"] == "fenced"
    print(f"evacuated in {seconds:.1f} s, longest stall {writer.stall:.1f} s")
    come_back(old)
