"""A share in use is renumbered on the real path: a subnet is added, clients move there, the old one
is removed. Then each way in which a drain ends: cancelled at its deadline, a plain deletion once
its client has left, force. No write that was answered is lost, and a third subnet notices nothing.

One play, in order: a test that fails makes the next ones fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from threading import Thread

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.domain.network_changes import subnet_deletions, subnet_drains
from abaca.domain.network_changes.subnet_drains import CANCEL, FORCE
from abaca.domain.share_networks import share_network_subnets
from abaca.drivers.linux.clients import attach_client
from abaca.errors import Conflict, Missing
from abaca.reconcile import subnet_drain_deadlines
from tests.contracts.drivers.linux_backend import Loop, probe
from tests.contracts.drivers.test_linux_admission import reaches
from tests.e2e.conftest import Pair, Site, assert_undisturbed, installing
from tests.nfs4.client import Client41, patiently
from tests.nfs4.connection import connect
from tests.operations.scene import addresses, all_servers, told
from tests.stack import MEMBER, Stack, wait_for

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.play,
    pytest.mark.root,
    pytest.mark.slow("a real worker, NFS servers and clients that write"),
    pytest.mark.timeout(600),
]

OLD, NEW, OTHER = "10.71.0.0/24", "10.72.0.0/24", "fd00:71::/64"
LINES = 30
AT_MOST = 120.0  # seconds, on a machine that is busy


class Journal:
    """Lines that a client appends to a file, and how many it knows to be there."""

    def __init__(self, client: Client41, share_path: str, name: str) -> None:
        self._client = client
        self._name = name
        folder = client.handle_of(share_path.split(":/", 1)[1])
        self._file = patiently(lambda: client.open(folder, name, create=True))
        self.written = 0

    def append(self) -> None:
        self._client.write(self._file, 4 * self.written, f"{self.written:03}\n".encode())
        self.written += 1

    def append_for_good(self) -> None:
        """Until the connection ends, or there is no more room for numbers."""
        try:
            while self.written < 1000:
                self.append()
        except OSError:
            self._client.files.clear()

    def assert_kept(self, netns: str, share_path: str) -> None:
        """All that was answered is there, by another path, and at most the line on its way."""
        found = probe(netns, "read", share_path, self._name)["text"]
        assert found.startswith(lines(self.written)), "all that was answered"
        assert found in (lines(self.written), lines(self.written + 1))


def lines(number: int) -> str:
    return "".join(f"{each:03}\n" for each in range(number))


def address_of(path: str) -> str:
    return path.split(":/", 1)[0].strip("[]")


@dataclass
class Subnet:
    """A share network subnet, with the path that the share has there."""

    id: str
    pair: Pair
    cidr: str
    path: str

    @property
    def address(self) -> str:
        """Of the share server."""
        return address_of(self.path)


@dataclass
class Play:
    """A share that everybody may use, and the namespace of a client on OTHER that works all the
    while. The project renumbers the share network."""

    site: Site
    share_network: str
    share: str
    old: Subnet
    other: Subnet
    stays: str

    @property
    def stack(self) -> Stack:
        return self.site.stack

    def add(self, cidr: str) -> Subnet:
        """Add a subnet to the share network in use."""
        before = self.stack.paths(self.share)
        (pair,) = self.stack.network(cidr)
        self.stack.add_subnet(self.share_network, pair)
        self.settle()
        (path,) = (path for path in self.stack.paths(self.share) if path not in before)
        return Subnet(subnet_of(self.stack, self.share_network, pair), pair, cidr, path)

    def settle(self) -> None:
        assert self.stack.settled_network(self.share_network) == "active"

    def machine(self, name: str, subnet: Subnet, number: int) -> str:
        """The namespace of a tenant's machine with the address of that number on a subnet: servers
        have lower ones."""
        network = ip_network(subnet.cidr)
        netns = f"{self.site.namespace}-{name}"
        address = f"{network[number]}/{network.prefixlen}"
        attach_client(self.site.namespace, subnet.pair[0], netns, [address])
        return netns

    def drain(self, subnet: Subnet) -> None:
        """The subnet drains, and the server refuses newcomers there."""
        self.stack.do(subnet_drains.start, MEMBER, self.share_network, subnet.id)
        wait_for(lambda: self.stack.ask(all_refuse, subnet.id))

    def drain_briefly(self, subnet: Subnet, at_deadline: str) -> None:
        """For a second."""
        start = subnet_drains.start
        how = {"seconds": 1, "at_deadline": at_deadline}
        self.stack.do(start, MEMBER, self.share_network, subnet.id, **how)

    def is_draining(self, subnet: Subnet) -> bool:
        try:
            self.stack.ask(subnet_drains.get, MEMBER, self.share_network, subnet.id)
        except Missing:
            return False
        return True

    def delete(self, subnet: Subnet) -> None:
        """As the API does. Raises Conflict while a client is connected there."""
        deletion = subnet_deletions.delete
        while pending := self.stack.do(deletion, MEMBER, self.share_network, subnet.id):
            self.stack.wait(
                lambda conn, id_=pending.id: not subnet_deletions.is_pending(conn, id_)  # type: ignore[misc]
            )
        self.settle()


def subnet_of(stack: Stack, share_network: str, pair: Pair) -> str:
    found = stack.ask(share_network_subnets.find, MEMBER, share_network)
    return str(next(each["id"] for each in found if each["neutron_subnet_id"] == pair[1]))


def all_refuse(conn: Connection, subnet_id: str) -> bool:
    """Whether all servers on the subnet refuse newcomers there."""
    there = mappings.c.share_network_subnet_id == subnet_id
    return all(conn.scalars(sa.select(mappings.c.refuses_new_clients).where(there)))


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    with installing(tmp_path_factory.mktemp("renumbering")) as install:
        site = install(1)
        stack = site.stack
        pairs = [stack.network(cidr)[0] for cidr in (OLD, OTHER)]
        share_network = stack.share_network(*pairs)
        share = site.share(share_network)
        old, other = (
            Subnet(subnet_of(stack, share_network, pair), pair, cidr, path)
            for pair, cidr, path in zip(pairs, (OLD, OTHER), stack.paths(share), strict=True)
        )
        stays = site.client("stays", other.pair, OTHER)
        yield Play(site, share_network, share, old, other, stays)


def test_a_share_is_renumbered_and_no_write_is_lost(play: Play) -> None:
    stack, old, other = play.stack, play.old, play.other
    (overlapping,) = stack.network("10.71.0.128/25")
    moves, late = play.machine("moves", old, 150), play.machine("late", old, 151)
    with Loop(play.stays, other.path, "loop") as loop:
        with pytest.raises(Conflict, match=r"10\.71\.0\.128/25.* overlaps subnet 10\.71\.0\.0/24"):
            stack.add_subnet(play.share_network, overlapping)
        with Client41(moves, old.address) as client:
            before = Journal(client, old.path, "moved")
            for _ in range(LINES):
                before.append()
        new = play.add(NEW)
        play.machine("moves", new, 150)
        assert probe(moves, "read", new.path, "moved") == {"ok": True, "text": lines(LINES)}
        with Client41(late, old.address) as client:
            journal = Journal(client, old.path, "cut")
            writer = Thread(target=journal.append_for_good)
            writer.start()
            stack.remove_subnet(play.share_network, old.id)
            play.settle()
            writer.join(AT_MOST)
            assert not writer.is_alive(), "it is told"
    assert_undisturbed(loop)
    assert stack.paths(play.share) == [other.path, new.path]
    assert (addresses(stack), [row.status for row in all_servers(stack)]) == (2, ["active"])
    with pytest.raises(OSError):  # no route, or no answer
        connect(late, old.address, patience=1.0)
    play.machine("late", new, 151)
    journal.assert_kept(late, new.path)
    play.site.assert_served(moves, [new.path])
    play.site.assert_served(play.stays, [other.path])


def test_a_drain_is_cancelled_at_its_deadline_or_ended_by_a_plain_deletion(play: Play) -> None:
    drained = play.add("10.73.0.0/24")
    moves, late = play.machine("moves", drained, 150), play.machine("late", drained, 151)
    folder = drained.path.split(":/", 1)[1]
    with Loop(play.stays, play.other.path, "loop") as loop:
        with Client41(moves, drained.address) as client:
            file = patiently(lambda: client.open(client.handle_of(folder), "kept", create=True))
            play.drain(drained)
            assert not reaches(late, drained.address)
            play.drain_briefly(drained, CANCEL)
            wait_for(lambda: not at_its_deadline(play).is_draining(drained))
            assert "was cancelled at its deadline" in told(play.stack)[0]
            wait_for(lambda: reaches(late, drained.address))
            client.lock(file)
            play.drain(drained)
            with pytest.raises(Conflict, match=r"\d clients? connected there"):
                play.delete(drained)
            client.write(file, 0, b"until it leaves")
        # what the back end said last is good for seconds
        wait_for(lambda: is_deleted(play, drained))
    assert_undisturbed(loop)
    assert drained.path not in play.stack.paths(play.share)
    with pytest.raises(OSError):  # no route, or no answer
        connect(late, drained.address, patience=1.0)
    assert probe(play.stays, "read", play.other.path, "kept")["text"] == "until it leaves"


def test_at_a_deadline_with_force_the_subnet_goes_and_who_is_connected_is_told(play: Play) -> None:
    drained = play.add("10.74.0.0/24")
    late = play.machine("late", drained, 151)
    with (
        Loop(play.stays, play.other.path, "loop") as loop,
        Client41(late, drained.address) as client,
    ):
        journal = Journal(client, drained.path, "forced")
        writer = Thread(target=journal.append_for_good)
        writer.start()
        play.drain_briefly(drained, FORCE)
        wait_for(lambda: drained.path not in at_its_deadline(play).stack.paths(play.share))
        play.settle()
        writer.join(AT_MOST)
        assert not writer.is_alive(), "it is told"
    assert_undisturbed(loop)
    assert "clients that are still connected there are cut off" in told(play.stack)[0]
    with pytest.raises(OSError):  # no route, or no answer
        connect(late, drained.address, patience=1.0)
    journal.assert_kept(play.stays, play.other.path)
    assert [row.status for row in all_servers(play.stack)] == ["active"]


def at_its_deadline(play: Play) -> Play:
    """The play after a pass of a worker, which has one of its own, too."""
    subnet_drain_deadlines.meet_due(play.stack.engine)
    return play


def is_deleted(play: Play, subnet: Subnet) -> bool:
    try:
        play.delete(subnet)
    except Conflict as refusal:
        assert "connected there" in refusal.message
        return False
    return True
