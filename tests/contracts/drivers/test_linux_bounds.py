"""What clients can take of a share server is bounded, and a share server connects to nobody."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from abaca.drivers.linux import bounds, namespaces, processes
from abaca.drivers.linux.bounds import CALLER_GROUP, Bounds
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.file_services.nfs.ganesha import GANESHA
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from abaca.drivers.linux.wires import plugging
from abaca.drivers.linux.wires.port_rules import link_local
from abaca.errors import OutcomeUnknown, Unavailable
from abaca.values import ShareServer
from tests.attack.crowd import crowd
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, assert_served, path, rule
from tests.contracts.drivers.test_linux_admission import reaches
from tests.nfs4 import operations as ops
from tests.nfs4.client import Client40, Client41, patiently
from tests.stack import wait_for

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

IPV4, IPV6 = "10.0.0.5", "fd00::5"
OTHER_CLIENT = ("10.0.0.21/24", "fd00::21/64")
FEW, FEWER = 20, 8


@pytest.fixture(scope="module")
def small_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinuxDriver]:
    """A back end whose share servers have room for few."""
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("linux")
    driver = linux_backend.make_linux_driver(
        folder, max_connections=str(FEW), max_connections_per_client=str(FEWER)
    )
    yield driver
    linux_backend.cleanup(driver)


@pytest.fixture
def small(small_driver: LinuxDriver) -> Iterator[Site]:
    site = Site(small_driver)
    yield site
    site.clear()


def test_the_link_local_address_of_a_port_is_no_way_in(site: Site) -> None:
    """Nobody is told of it, but it can be computed, and is on no subnet that could drain, leave or
    be chosen. A rule such as `::/0` admits who comes by it."""
    server = site.server(("net", "10.0.0.5/24"))
    site.share(server)
    client = site.client("client", "net", CLIENT[0])
    (interface,) = plugging.ports_in(client)
    (allocation,) = server.network_info[0].network_allocations
    address = f"{link_local(allocation.mac_address)}%{interface}"
    answers: list[bool] = []

    def has_answered() -> bool:
        with suppress(OutcomeUnknown):  # until the client's own address is sure of itself
            answers.append(reaches(client, address))
        return bool(answers)

    wait_for(has_answered, 60)
    assert answers == [False]
    assert reaches(client, IPV4)


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_one_client_leaves_connections_to_the_others(small: Site, address: str) -> None:
    server = small.server(*BOTH)
    share = small.share(server)
    greedy, other = (
        small.client("greedy", "net", *CLIENT),
        small.client("other", "net", *OTHER_CLIENT),
    )
    with crowd(greedy, address, 100) as made:
        assert (len(made.links), made.refused) == (FEWER, 100 - FEWER)
        assert_served(other, share)
        small.driver.ensure_server(server, [share])
        with crowd(greedy, address, 10) as more:
            assert more.links == [], "what was counted stays counted"
        assert made.still_open() == FEWER
    wait_for(lambda: _connects(greedy, address), 10)


def _connects(netns: str, address: str) -> bool:
    with crowd(netns, address, 1) as made:
        return bool(made.links)


def test_all_clients_together_have_a_bounded_number_of_connections(small: Site) -> None:
    server = small.server(*BOTH)
    share = small.share(server)
    addresses = [f"10.0.0.{number}/24" for number in range(100, 110)]
    netns = [
        small.client(f"many{number}", "net", address) for number, address in enumerate(addresses)
    ]
    made = [crowd(each, IPV4, FEWER) for each in netns]
    links = [each.__enter__() for each in made]
    wait_for(lambda: sum(each.still_open() for each in links) <= FEW, 10)
    for each in made:
        each.__exit__(None, None, None)
    assert_served(small.client("client", "net", *CLIENT), share)


def test_the_server_knows_a_bounded_number_of_clients(small: Site) -> None:
    server = small.server(*BOTH)
    share = small.share(server)
    netns = small.client("client", "net", *CLIENT)
    for version in (Client40, Client41):
        client = version(netns, IPV4)
        with pytest.raises(Nfs4Error, match="RESOURCE"):
            for number in range(10 * FEW):
                client.name = f"{version} {number}".encode()
                client.establish()
        client.link.link.close()

    def is_known() -> bool:
        try:
            with Client41(netns, IPV4) as client:
                return bool(client.handle_of(path(share).split(":", 1)[1]))
        except Nfs4Error:
            return False

    wait_for(is_known, 40)


@pytest.mark.parametrize(("own", "theirs"), [(IPV4, "10.0.0.20"), (IPV6, "fd00::20")])
def test_a_share_server_connects_to_nobody(site: Site, own: str, theirs: str) -> None:
    """Not where a client of version 4.0 says that it wants to be called, for example. What the
    worker starts in there may, and clients are served."""
    server = site.server(*BOTH)
    share = site.share(server)
    client = site.client("client", "net", *CLIENT)
    namespace = site.layout(server).namespace
    family = socket.AF_INET6 if ":" in own else socket.AF_INET
    with namespaces.inside(client, lambda _: _listening(family, theirs)) as listening:
        port = listening.getsockname()[1]
        for group in (0, 1000, CALLER_GROUP):
            assert not _may_connect(namespace, own, theirs, port, group), group
        for _ in range(2):
            bounds.let_call(namespace, ip_address(theirs), port, 5)
        assert _may_connect(namespace, own, theirs, port, CALLER_GROUP)
        assert not _may_connect(namespace, own, theirs, port, 0)
        assert not _may_connect(namespace, own, theirs, port + 1, CALLER_GROUP)
        wait_for(lambda: not _may_connect(namespace, own, theirs, port, CALLER_GROUP), 30)
    with namespaces.inside(
        client, lambda _: _listening(family, theirs, socket.SOCK_DGRAM)
    ) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(OutcomeUnknown, match="Operation not permitted"):
            namespaces.inside(namespace, lambda _: _send(own, theirs, port))
        with pytest.raises(BlockingIOError):
            listening.recv(1)
    assert_served(client, share)


def _listening(family: int, address: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    link = socket.socket(family, kind)
    link.setblocking(False)
    link.bind((address, 0))
    if kind == socket.SOCK_STREAM:
        link.listen()
    return link


def _may_connect(namespace: str, own: str, address: str, port: int, group: int) -> bool:
    try:
        namespaces.inside(namespace, lambda _: _connect(own, address, port, group))
    except OutcomeUnknown as error:
        assert "Connection refused" in error.message
        return False
    return True


def _connect(own: str, address: str, port: int, group: int) -> None:
    """As a process of this group: the calling thread's, which ends with it."""
    ctypes.CDLL(None).setfsgid(group)
    socket.create_connection((address, port), timeout=5, source_address=(own, 0)).close()


def _send(own: str, address: str, port: int) -> None:
    with socket.socket(
        socket.AF_INET6 if ":" in own else socket.AF_INET, socket.SOCK_DGRAM
    ) as link:
        link.bind((own, 0))
        link.sendto(b"x", (address, port))


def test_what_the_kernel_keeps_for_a_connection_is_bounded_in_the_servers_namespace(
    site: Site,
) -> None:
    server = site.server(*BOTH)

    def largest(_: object) -> set[str]:
        return {
            open(f"/proc/sys/net/ipv4/{name}").read().split()[2]
            for name in ("tcp_rmem", "tcp_wmem")
        }

    assert namespaces.inside(site.layout(server).namespace, largest) == {str(512 * 1024)}


def test_a_server_whose_descriptors_were_used_up_for_good_is_started_again(site: Site) -> None:
    """By a client that has opened what it could: then no other can open anything."""
    worker = linux_backend.successor(site.driver, answer_seconds="1")
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    pid = processes.by_pid_file(site.layout(server).ganesha_pid, GANESHA) or 0
    most = len(os.listdir(f"/proc/{pid}/fd")) + FEW
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
    client = Client41(netns, IPV4)
    client.establish()
    root = client.handle_of(path(share).split(":", 1)[1])
    with pytest.raises(Nfs4Error):
        for number in range(2 * FEW):
            patiently(lambda number=number: client.open(root, f"file {number}", create=True))  # type: ignore[misc]
    client.compound([ops.destroy_session(client.session)])
    client.link.link.close()
    assert [worker.unserved([server.id]) for _ in range(5)][-1] == [server.id]
    assert worker.restart_server(server.id)
    assert_served(netns, share)


@pytest.mark.parametrize("value", ["", "0", "-1", "10001", "many", "1e3", "²"])
@pytest.mark.parametrize("name", bounds.OPTIONS)
def test_options_that_make_no_sense(name: str, value: str) -> None:
    with pytest.raises(Unavailable, match=f"option {name} must be a number from 1 to 10000, not"):
        Bounds.of(
            {other: option.default for other, option in bounds.OPTIONS.items()} | {name: value}
        )


def test_what_strangers_send_to_nothing_is_not_remembered(site: Site) -> None:
    """Connection tracking would keep an entry for each port for half a minute, in memory that is
    the whole machine's."""
    server, count = site.server(*BOTH), 200
    share = site.share(server, rules=[rule("10.0.0.20"), rule("fd00::20")])
    stranger = site.client("stranger", "net", *OTHER_CLIENT)

    def send(_: object) -> None:
        for address, family in ((IPV4, socket.AF_INET), (IPV6, socket.AF_INET6)):
            for port in range(3000, 3000 + count):
                with socket.socket(family, socket.SOCK_DGRAM) as datagram:
                    datagram.sendto(b"nobody listens", (address, port))
                with socket.socket(family, socket.SOCK_STREAM) as link:
                    link.settimeout(10)
                    assert link.connect_ex((address, port)) == errno.ECONNREFUSED

    namespaces.inside(stranger, send)
    assert _tracked(site, server) < count
    assert_served(site.client("client", "net", *CLIENT), share)


def _tracked(site: Site, server: ShareServer) -> int:
    """Entries of connection tracking in a share server's namespace."""
    return namespaces.inside(
        site.layout(server).namespace,
        lambda _: int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text()),
    )
