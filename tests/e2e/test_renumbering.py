"""A share in use is renumbered on the real path: a subnet is added, clients move there, the old one
is removed. No write that was answered is lost, and a third subnet notices nothing."""

from __future__ import annotations

from ipaddress import ip_network
from threading import Thread

import pytest

from abaca.domain.share_networks import share_network_subnets
from abaca.drivers.linux.clients import attach_client
from abaca.errors import Conflict
from tests.contracts.drivers.linux_backend import Loop, probe
from tests.e2e.conftest import Install, Site, assert_undisturbed
from tests.nfs4.client import Client41, patiently
from tests.nfs4.connection import connect
from tests.operations.scene import addresses, all_servers
from tests.stack import MEMBER, Stack

pytestmark = [
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


def lines(number: int) -> str:
    return "".join(f"{each:03}\n" for each in range(number))


def address_of(path: str) -> str:
    return path.split(":/", 1)[0].strip("[]")


def machine(site: Site, name: str, pair: tuple[str, str], cidr: str, number: int) -> str:
    """The namespace of a tenant's machine with the address of that number in a range: servers have
    lower ones."""
    network = ip_network(cidr)
    netns = f"{site.namespace}-{name}"
    address = f"{network[number]}/{network.prefixlen}"
    attach_client(site.namespace, pair[0], netns, [address])
    return netns


def subnet_of(stack: Stack, share_network: str, pair: tuple[str, str]) -> str:
    """The share network subnet on (network id, subnet id)."""
    found = stack.ask(share_network_subnets.find, MEMBER, share_network)
    return str(next(each["id"] for each in found if each["neutron_subnet_id"] == pair[1]))


def test_a_share_is_renumbered_and_no_write_is_lost(install: Install) -> None:
    site = install(1)
    stack = site.stack
    (old,), (new,), (other,) = (stack.network(cidr) for cidr in (OLD, NEW, OTHER))
    (overlapping,) = stack.network("10.71.0.128/25")
    share_network = stack.share_network(old, other)
    id_ = site.share(share_network)
    old_path, other_path = stack.paths(id_)
    moves, late = machine(site, "moves", old, OLD, 150), machine(site, "late", old, OLD, 151)
    stays = site.client("stays", other, OTHER)
    with Loop(stays, other_path, "loop") as loop:
        with pytest.raises(Conflict, match=r"10\.71\.0\.128/25.* overlaps subnet 10\.71\.0\.0/24"):
            stack.add_subnet(share_network, overlapping)
        with Client41(moves, address_of(old_path)) as client:
            before = Journal(client, old_path, "moved")
            for _ in range(LINES):
                before.append()
        stack.add_subnet(share_network, new)
        assert stack.settled_network(share_network) == "active"
        new_path = next(path for path in stack.paths(id_) if path not in (old_path, other_path))
        machine(site, "moves", new, NEW, 150)
        assert probe(moves, "read", new_path, "moved") == {"ok": True, "text": lines(LINES)}
        with Client41(late, address_of(old_path)) as client:
            journal = Journal(client, old_path, "cut")
            writer = Thread(target=journal.append_for_good)
            writer.start()
            stack.remove_subnet(share_network, subnet_of(stack, share_network, old))
            assert stack.settled_network(share_network) == "active"
            writer.join(AT_MOST)
            assert not writer.is_alive(), "it is told"
    assert_undisturbed(loop)
    assert stack.paths(id_) == [other_path, new_path]
    assert (addresses(stack), [row.status for row in all_servers(stack)]) == (2, ["active"])
    with pytest.raises(OSError):  # no route, or no answer
        connect(late, address_of(old_path), patience=1.0)
    machine(site, "late", new, NEW, 151)
    cut = probe(late, "read", new_path, "cut")["text"]
    assert cut.startswith(lines(journal.written)), "all that was answered"
    assert cut in (lines(journal.written), lines(journal.written + 1))
    site.assert_served(moves, [new_path])
    site.assert_served(stays, [other_path])
