"""Nobody on a network of the Linux back end sends as somebody else: forged frames, and what they
reach.

Each attack is made by a machine, a router and a share server that was broken into. The frames are
sent raw; who must not see them looks at the wire, and an honest client works all the while.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, takewhile
from uuid import uuid4

import pytest

from abaca.drivers.linux import namespaces, packet_filter
from abaca.drivers.linux.clients import detach_client
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.inventory import leftovers
from abaca.drivers.linux.wires import plugging
from abaca.drivers.linux.wires.interface import Port
from abaca.values import ShareServer
from tests.contracts.drivers.linux_backend import Loop, successor
from tests.contracts.drivers.linux_site import BOTH, Site, access_of, assert_served, path
from tests.forged_frames import (
    ATTACKS,
    IPV4,
    Attack,
    Station,
    arrived,
    connecting,
    ethernet,
    honest,
    neighbour,
    routes_told,
    send,
)

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

NUD_FAILED = 0x20
ROLES = ("machine", "router", "server")
ADDRESSES = ("10.0.0.{}/24", "fd00::{}/64")


class Street:
    """A network with a share server, its honest client, and three attackers: a machine, a router
    and another share server."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.server, self.victim = self._server(5)
        self.share = site.share(self.server)
        self.client = self._machine("client", 20)
        attackers = (
            self._machine("mallory", 66),
            self._machine("router", 1, forwards=True),
            self._server(6)[1],
        )
        self.attackers = dict(zip(ROLES, attackers, strict=True))

    def _server(self, number: int) -> tuple[ShareServer, Station]:
        """A share server of one port, with both addresses."""
        server_id, mac = str(uuid4()), f"fa:16:3e:bb:00:{number:02x}"
        server = self.site.set_up(
            server_id,
            [
                self.site.entry(server_id, "net", address.format(number), mac=mac)
                for address in ADDRESSES
            ],
        )
        return server, _station(self.site.layout(server).namespace, number)

    def _machine(self, name: str, number: int, *, forwards: bool = False) -> Station:
        return _station(
            self.site.client(
                name, "net", *(address.format(number) for address in ADDRESSES), forwards=forwards
            ),
            number,
        )


def _station(netns: str, number: int) -> Station:
    ((interface, mac),) = plugging.ports_in(netns).items()
    return Station(netns, interface, mac, f"10.0.0.{number}", f"fd00::{number}")


@pytest.fixture(scope="module")
def street(linux_driver: LinuxDriver) -> Iterator[Street]:
    site = Site(linux_driver)
    yield Street(site)
    site.clear()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_nothing_forged_arrives(street: Street, attack: Attack, role: str) -> None:
    """Neither in the share server's name nor in its client's; while what the sender may send
    does."""
    attacker = street.attackers[role]
    for victim, witness in ((street.victim, street.client), (street.client, street.victim)):
        at_server, at_client = arrived(
            attacker, attack(attacker, victim, witness), street.victim, street.client
        )
        assert at_server == []
        # to other machines a router tells ways: it is what it is for
        if (role, attack) != ("router", routes_told):
            assert at_client == []


@contextmanager
def flooded(street: Street) -> Iterator[None]:
    """All the attackers send forged frames for as long as the block runs."""
    pairs, done = (
        ((street.victim, street.client), (street.client, street.victim)),
        threading.Event(),
    )

    def flood(role: str) -> None:
        attacks = [attack for attack in ATTACKS if (role, attack) != ("router", routes_told)]
        frames = [
            frame
            for attack in attacks
            for pair in pairs
            for frame in attack(street.attackers[role], *pair)
        ]
        send(street.attackers[role], takewhile(lambda _: not done.is_set(), cycle(frames)))

    with ThreadPoolExecutor() as threads:
        floods = [threads.submit(flood, role) for role in ROLES]
        try:
            yield
        finally:
            done.set()
            for each in floods:
                each.result()


def test_an_honest_client_works_on_while_it_is_attacked(street: Street) -> None:
    with Loop(street.client.netns, path(street.share), "loop") as loop, flooded(street):
        assert_served(street.client.netns, street.share)
    assert loop.answer["error_count"] == 0 and loop.answer["rounds"] > 5, loop.answer
    for address in (street.victim.ipv4, street.victim.ipv6):
        assert neighbour(street.client, address) in (street.victim.mac, None)


def test_without_the_table_every_attack_arrives_until_the_server_is_ensured(street: Street) -> None:
    """So it is the table that holds, and it is made again."""
    attacker = street.attackers["machine"]
    bridges = street.site.driver.layout.namespace
    namespaces.inside(bridges, lambda _: packet_filter.delete_table("bridge", "abaca"))
    for attack in ATTACKS:
        frames = attack(attacker, street.victim, street.client)
        assert arrived(attacker, frames, street.client) == [frames], attack.__name__
    successor(street.site.driver).ensure_server(street.server, [street.share])
    for attack in ATTACKS:
        assert arrived(attacker, attack(attacker, street.victim, street.client), street.client) == [
            []
        ], attack.__name__


def test_a_machine_with_the_servers_addresses_sends_nothing_as_the_server(street: Street) -> None:
    """Whoever attached it so: the share server's addresses are the share server's."""
    netns = street.site.client(
        "double", "net", "10.0.0.5/24", "10.0.0.77/24", "fd00::5/64", "fd00::77/64"
    )
    double = _station(netns, 77)
    forged = honest(
        double._replace(ipv4=street.victim.ipv4, ipv6=street.victim.ipv6), street.client
    )
    assert arrived(double, forged, street.client) == [[]]
    detach_client(netns, street.site.driver.layout.namespace)


@pytest.mark.parametrize(
    "elsewhere",
    [("10.2.0.5", "fd00:2::5"), ("10.0.0.255", "ff05::2"), ("224.0.0.1", "fd00:2::5")],
    ids=str,
)
def test_an_address_of_one_network_is_not_there_for_another(
    site: Site, elsewhere: tuple[str, str]
) -> None:
    """Nor are groups and broadcasts, which no share server needs."""
    server_id, mac = str(uuid4()), "fa:16:3e:bb:01:05"
    on_both = [("one", address.format(5)) for address in ADDRESSES] + [
        ("two", "10.2.0.5/24"),
        ("two", "fd00:2::5/64"),
    ]
    server = site.set_up(
        server_id,
        [site.entry(server_id, network, address, mac=mac) for network, address in on_both],
    )
    client = _station(
        site.client("neighbour", "one", *(address.format(20) for address in ADDRESSES)), 20
    )
    netns = site.layout(server).namespace
    port = next(
        info.network_allocations[0]
        for info in server.network_info
        if info.subnet.neutron_net_id == site.network_id("one")
    )
    interface = Port(netns, server_id, site.network_id("one"), port.mac_address, 0).name
    forged = honest(client, Station(netns, interface, mac, *elsewhere))[-2:]
    assert arrived(client, forged, Station(netns, interface, mac, "10.0.0.5", "fd00::5")) == [[]]


def test_what_ports_may_send_goes_with_them(site: Site) -> None:
    def left() -> list[str]:
        return leftovers(site.driver.layout.namespace, site.driver.layout.state_dir)["filters"]

    before = left()
    server = site.server(*BOTH)
    assert sorted({*left()} - {*before}) == site.port_names(server)
    site.driver.teardown_server(server.id, {})
    assert left() == before


def test_who_speaks_for_thousands_keeps_nobody_from_other_servers(site: Site) -> None:
    """The kernel's table of neighbours is the machine's: filled by one server's, no other server
    would find a client that is new."""
    attacked, server = (
        site.set_up(
            str(server_id),
            [
                site.entry(
                    str(server_id), network, "10.0.0.5/16", mac=f"fa:16:3e:bb:02:{number:02x}"
                )
            ],
        )
        for number, (server_id, network) in enumerate([(uuid4(), "wide"), (uuid4(), "elsewhere")])
    )
    share = site.share(server)
    router = _station(site.client("wide router", "wide", "10.0.0.1/16", forwards=True), 1)
    sources = (f"10.0.{third}.{fourth}" for third in range(1, 80) for fourth in range(1, 251))
    frames = [
        ethernet("fa:16:3e:bb:02:00", router.mac, IPV4, connecting(source, "10.0.0.5"))
        for source in sources
    ]
    done = threading.Event()

    def paced() -> Iterator[bytes]:
        for number, frame in enumerate(cycle(frames)):
            if done.is_set() or (number % 20 == 0 and done.wait(0.004)):  # 5,000 a second
                return
            yield frame

    with ThreadPoolExecutor() as threads:
        flood = threads.submit(send, router, paced())
        try:
            for number in range(4):
                assert not done.wait(1)
                assert (
                    access_of(
                        site.client(f"new {number}", "elsewhere", f"10.0.1.{number + 1}/16"),
                        path(share),
                    )
                    == "rw"
                )
            found = namespaces.inside(
                site.layout(attacked).namespace,
                lambda links: list(links.get_neighbours(family=socket.AF_INET)),
            )
        finally:
            done.set()
            flood.result()
    # the kernel lets go of no others
    asked_for = [each for each in found if not each["state"] & NUD_FAILED]
    assert 0 < len(asked_for) < 400
