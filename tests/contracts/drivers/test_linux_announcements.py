"""Share servers tell their neighbours which addresses they have got, so that nobody goes on to send
to where these were before."""

from __future__ import annotations

import threading
from ipaddress import ip_address
from uuid import uuid4

import pytest
from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces, routing
from abaca.drivers.linux.announcements import announce
from abaca.drivers.linux.neighbour_frames import announcements, mac_bytes
from abaca.drivers.linux.processes import wait_until
from abaca.drivers.linux.wires import plugging
from abaca.values import NetworkInfo, NetworkInfoUpdate
from tests.contracts.drivers.linux_site import Site
from tests.contracts.drivers.test_linux_spoofing_outside import outside
from tests.contracts.drivers.wired_hosts import Machine
from tests.contracts.drivers.wired_town import (
    FLAT,
    NIC,
    SERVER,
    TUNNEL_MTU,
    VXLAN,
    Town,
    entries,
    serving,
)
from tests.forged_frames import capture, honest, neighbour, send

pytestmark = pytest.mark.root

BEFORE = "02:00:00:00:00:05"  # of a server that had the addresses before
WAIT_SECONDS = 60.0


@pytest.fixture
def site(wired_site: Site) -> Site:
    return wired_site


def plain(infos: list[NetworkInfo]) -> dict[str, str]:
    """Address → MAC address."""
    return {
        each.ip_address: each.mac_address for info in infos for each in info.network_allocations
    }


def frames_of(infos: list[NetworkInfo]) -> list[bytes]:
    return [
        frame
        for address, mac in plain(infos).items()
        for frame in announcements(ip_address(address), mac_bytes(mac))
    ]


def remember(machine: Machine, interface: str, *addresses: str) -> None:
    """The machine has spoken with a server that had these addresses, a moment ago."""

    def act(links: IPRoute) -> None:
        (index,) = links.link_lookup(ifname=interface)
        for address in addresses:
            links.neigh("replace", ifindex=index, dst=address, lladdr=BEFORE, state="reachable")

    namespaces.inside(machine.namespace, act)


def assert_known(machine: Machine, interface: str, infos: list[NetworkInfo]) -> None:
    """Without a word of the machine's, it knows where the addresses are now."""
    station, wanted = outside(machine, interface), plain(infos)
    assert wait_until(
        lambda: {address: neighbour(station, address) for address in wanted} == wanted,
        WAIT_SECONDS,
    )


@pytest.mark.parametrize("through", ["a bridge of the host", "an interface", "a tunnel"])
def test_a_new_server_is_found_where_another_one_had_its_addresses(
    town: Town, site: Site, through: str
) -> None:
    segment, machine, interface, mtu = {
        "a bridge of the host": (FLAT, town.near, "eth0", 1500),
        "an interface": (NIC, town.apart, "eth0", 1500),
        "a tunnel": (VXLAN, town.far, "vx", TUNNEL_MTU),
    }[through]
    if segment is VXLAN:
        town.tunnel(vxlan_local="198.18.0.2", vxlan_group="198.18.0.1")
    infos = entries(site, str(uuid4()), segment, mtu)
    remember(machine, interface, *plain(infos))
    serving(town, site, infos)
    assert_known(machine, interface, infos)


def test_added_addresses_are_told_and_those_that_stay_are_not_told_again(
    town: Town, site: Site
) -> None:
    """ARP as a request and as an answer, and an advertisement that overrides, several times."""
    first = entries(site, str(uuid4()), FLAT)
    station = outside(town.near, "eth0")
    with capture(station) as told:
        server = serving(town, site, first)
        for _ in range(2):  # of three, the first of which can be too early for a bridge
            told.wait_for(frames_of(first))
            told.forget()
    join()
    added = entries(site, server.id, FLAT, at=["10.0.0.7/24", "fd00::7/64"])
    end = outside(town.host, "ext")
    with capture(station) as told:
        update = NetworkInfoUpdate(current=first, added=added)
        town.host.do(
            lambda: town.driver.update_share_server_network_allocations(update, {}, [], [])
        )
        told.wait_for(frames_of(added))
        town.host.do(lambda: town.driver.ensure_server(server, []))
        follows = honest(end, station)
        send(end, follows)
        told.wait_for(follows)
        assert told.those_of(frames_of(first)) == []


def test_a_server_that_a_restart_of_the_machine_took_is_told_of_again(
    town: Town, site: Site
) -> None:
    infos = entries(site, str(uuid4()), FLAT)
    server = serving(town, site, infos)
    namespace = site.layout(server).namespace
    routing.remove_addresses(namespace, plain(infos))
    remember(town.near, "eth0", *plain(infos))
    town.host.do(lambda: town.driver.ensure_server(server, []))
    assert_known(town.near, "eth0", infos)


def test_an_address_that_is_gone_is_not_told(town: Town, site: Site) -> None:
    """It can be another server's by now; and what cannot be told fails nothing."""
    infos = entries(site, str(uuid4()), FLAT)
    server = serving(town, site, infos)
    namespace = site.layout(server).namespace
    mac = infos[0].network_allocations[0].mac_address
    (port,) = [name for name, its in plugging.ports_in(namespace).items() if its == mac]
    gone = routing.Address(port, SERVER, "10.0.0.0/24", None)
    routing.remove_addresses(namespace, [SERVER])
    station, end = outside(town.near, "eth0"), outside(town.host, "ext")
    join()
    with capture(station) as told:
        announce(namespace, [gone])
        announce(f"{namespace}.none", [gone])
        join()
        follows = honest(end, station)
        send(end, follows)
        told.wait_for(follows)
        assert told.those_of(frames_of(infos[:1])) == []


def join() -> None:
    """Until nothing is told any more."""
    for thread in threading.enumerate():
        if thread.name == "announces":
            thread.join(WAIT_SECONDS)
