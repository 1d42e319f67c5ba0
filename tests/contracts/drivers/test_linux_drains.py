"""A subnet that drains: who is connected there goes on and may come back, nobody else connects."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from abaca.drivers.conformance.drains import draining
from abaca.drivers.linux import drains, namespaces, packet_filter
from abaca.values import ShareServer
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import BOTH, CLIENT, Site, path
from tests.contracts.drivers.test_linux_admission import reaches
from tests.forged_frames import connecting
from tests.nfs4.client import Client41, patiently
from tests.stack import wait_for

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

SERVER = ("10.0.0.5", "fd00::5")
NEWCOMER = ("10.0.0.21/24", "fd00::21/64")
ACKNOWLEDGEMENT = 16


@pytest.fixture
def server(site: Site) -> ShareServer:
    return site.server(*BOTH)


def tables(site: Site, server: ShareServer) -> set[tuple[str, str]]:
    return namespaces.inside(site.layout(server).namespace, lambda _: packet_filter.tables())


@pytest.mark.parametrize("number", [0, 1], ids=["ipv4", "ipv6"])
def test_newcomers_are_refused_and_clients_go_on(
    site: Site, server: ShareServer, number: int
) -> None:
    share = site.share(server)
    client, newcomer = (
        site.client("client", "net", *CLIENT),
        site.client("newcomer", "net", *NEWCOMER),
    )
    address, other = SERVER[number], SERVER[1 - number]
    folder = path(share).split(":", 1)[1]
    with Client41(client, address) as connected:
        file = patiently(lambda: connected.open(connected.handle_of(folder), "file", create=True))
        drained = draining(server, number)
        site.driver.update_share_server_drains(drained, [share], [])
        connected.lock(file)
        assert not reaches(newcomer, address)
        assert reaches(newcomer, other), "the other subnet goes on as before"
        connected.reconnect()
        connected.renew()
        site.driver.ensure_server(drained, [share])
        assert reaches(client, address), "it stays known"
        assert not reaches(newcomer, address)
    site.driver.update_share_server_drains(server, [share], [])
    assert reaches(newcomer, address)
    assert drains.TABLE not in tables(site, server)


def test_a_client_comes_back_to_a_file_server_that_was_started_again(
    site: Site, server: ShareServer
) -> None:
    share = site.share(server)
    client = site.client("client", "net", *CLIENT)
    with Client41(client, SERVER[0]) as connected:
        folder = connected.handle_of(path(share).split(":", 1)[1])
        patiently(lambda: connected.open(folder, "file", create=True))
        site.driver.update_share_server_drains(draining(server, 0, 1), [share], [])
        connected.renew()
        os.kill(int(site.layout(server).ganesha_pid.read_text()), signal.SIGKILL)
        wait_for(lambda: site.driver.restart_server(server.id) or reaches(client, SERVER[0]), 60)
        connected.persistently(lambda: connected.attributes(folder, "type"))


def test_a_server_that_was_lost_refuses_newcomers_again(site: Site, server: ShareServer) -> None:
    share = site.share(server)
    newcomer = site.client("newcomer", "net", *NEWCOMER)
    site.driver.teardown_server(server.id, {})
    site.driver.ensure_server(draining(server, 1), [share])
    assert [reaches(newcomer, address) for address in SERVER] == [True, False]
    site.driver.ensure_server(server, [share])
    assert [reaches(newcomer, address) for address in SERVER] == [True, True]


def test_forged_packets_make_nobody_known(site: Site, server: ShareServer) -> None:
    share = site.share(server)
    newcomer = site.client("newcomer", "net", *NEWCOMER)
    site.driver.update_share_server_drains(draining(server, 0), [share], [])
    forged = connecting("10.0.0.21", SERVER[0], flags=ACKNOWLEDGEMENT)

    def send(_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as link:
            for _number in range(20):
                link.sendto(forged, (SERVER[0], 0))

    namespaces.inside(newcomer, send)
    assert not reaches(newcomer, SERVER[0])
    known = namespaces.inside(
        site.layout(server).namespace, lambda _: packet_filter.sets(*drains.TABLE)
    )
    assert known["known_ipv4"] == []


def test_what_drains_counts_nobody_whom_it_refuses(site: Site, server: ShareServer) -> None:
    """A refused client takes no room from the others."""
    share = site.share(server)
    newcomer = site.client("newcomer", "net", *NEWCOMER)
    site.driver.update_share_server_drains(draining(server, 0), [share], [])
    assert not any(reaches(newcomer, SERVER[0]) for _ in range(100))
    assert reaches(newcomer, SERVER[1])
    assert linux_backend.probe(newcomer, "write", path(share, 1), "file", "text")["ok"]
