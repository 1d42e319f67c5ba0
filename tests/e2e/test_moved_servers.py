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
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from abaca.db.tables import share_servers
from abaca.domain.server_moves import share_server_moves
from abaca.domain.services import hosts
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
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
LEASE = 5
V4 = "10.73.0.0/24"


@pytest.fixture
def two_hosts(tmp_path: Path, postgresql_databases: Databases, ceph: Ceph) -> Iterator[Town]:
    if reason := unavailable_reason():
        pytest.skip(reason)
    url = postgresql_databases.create_from(initialise)
    shared = {
        "backend_host": "cluster",
        "ceph_prefix": f"t{uuid4().hex[:8]}",
        **ceph.options(),
    }
    more: dict[str, Any] = {"worker.lease_seconds": LEASE, "worker.watch_interval": 1.0}
    with town(tmp_path, url, UNDERLAY, 2, shared, **more) as made:
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


def evacuated(old: PlayedHost, new: PlayedHost, server_id: str) -> float:
    """Seconds from the command until the server stands."""
    wait_until(lambda: not old.stack.ask(hosts.get, old.name)["lives"], lambda: "it lives", 60)
    began = time.monotonic()
    told = new.stack.do(share_server_moves.evacuate, old.name)
    assert told.going == {server_id: new.name}, told
    wait_until(lambda: stands_on(new, server_id) == new.name, lambda: "moving", 60)
    return time.monotonic() - began


def assert_went_on(writer: Writer, other: str, path: str) -> None:
    """The writer wrote on after what happened until now, and its lock keeps others out."""
    before = writer.written
    wait_until(lambda: writer.written > before + 10, lambda: f"{writer.errors}", 90)
    assert not writer.errors
    with Client41(other, path.partition(":/")[0]) as second:
        folder = second.handle_of(writer.folder)
        file = patiently(lambda: second.open(folder, "written"), 60)
        with pytest.raises(Nfs4Error, match="DENIED"):
            second.lock(file, offset=0, length=8)
        assert int(second.read(file)) >= before


def test_a_client_goes_on_when_the_host_of_its_server_dies(two_hosts: Town) -> None:
    stack = two_hosts.hosts[0].stack
    (net,) = stack.network(V4)
    share = share_on(two_hosts.hosts[0], stack.share_network(net))
    server = server_of(stack, share)
    old, new = host_of(two_hosts, server)
    machine = new.machine("client", net[0], "10.73.0.200/24")
    other = new.machine("other", net[0], "10.73.0.201/24")
    (path,) = stack.paths(share)
    with writing(machine, path) as writer:
        old.lose_power()
        seconds = evacuated(old, new, server)
        assert_went_on(writer, other, path)
    assert stack.ask(hosts.get, old.name)["state"] == "fenced"
    print(f"evacuated in {seconds:.1f} s, longest stall {writer.stall:.1f} s")
    assert writer.stall < 60
