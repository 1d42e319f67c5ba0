"""The Linux back end looks whether another machine has a new address, before a share server gets
it."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from ipaddress import ip_address
from uuid import uuid4

import pytest
from pyroute2 import IPRoute

from abaca.drivers.linux import duplicates, namespaces, neighbour_frames
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.inventory import leftovers
from abaca.drivers.linux.wires.interface import Segment
from abaca.values import NetworkInfo
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import Loop
from tests.contracts.drivers.linux_site import Site, path
from tests.contracts.drivers.test_linux_spoofing_outside import outside
from tests.contracts.drivers.wired_hosts import Machine
from tests.contracts.drivers.wired_town import (
    FLAT,
    NIC,
    OPTIONS,
    SERVER4,
    SERVER6,
    Town,
    entries,
    served,
    serving,
)
from tests.forged_frames import (
    ALL_NODES,
    ARP,
    EVERYBODY,
    IPV6,
    REPLY,
    REQUEST,
    advertisement,
    arp,
    ethernet,
    send,
    solicitation,
)

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

NOBODYS, NEIGHBOURS = (SERVER4, SERVER6), ("10.0.0.20/24", "fd00::20/64")
MAC, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"
NOWHERE = "00:00:00:00:00:00"


@pytest.fixture
def site(wired_site: Site) -> Site:
    return wired_site


def in_use(town: Town, infos: list[NetworkInfo], driver: LinuxDriver | None = None) -> list[str]:
    return town.host.do(lambda: (driver or town.driver).addresses_in_use(infos))


def plain(*addresses: str) -> list[str]:
    return [address.partition("/")[0] for address in addresses]


@pytest.mark.parametrize("segment", [FLAT, NIC], ids=["a bridge of the host", "an interface"])
def test_addresses_of_machines_on_the_network_are_found_and_no_others(
    town: Town, site: Site, segment: Segment
) -> None:
    """All at once, of both families; and nothing is left behind."""
    both = entries(site, str(uuid4()), segment, at=[*NOBODYS, *NEIGHBOURS])
    assert in_use(town, both) == plain(*NEIGHBOURS)
    assert in_use(town, both[:2]) == []
    left = leftovers(town.driver.layout.namespace, town.driver.layout.state_dir)
    assert (left["links"], left["filters"]) == ([], [])
    assert left["namespaces"] == [town.driver.layout.namespace]


def test_addresses_of_another_share_server_are_found(town: Town, site: Site) -> None:
    """Port security does not keep its answers away."""
    serving(town, site, entries(site, str(uuid4()), FLAT))
    assert in_use(town, entries(site, str(uuid4()), FLAT)) == plain(*NOBODYS)


def test_a_server_that_is_half_set_up_is_not_taken_for_another_machine(
    town: Town, site: Site
) -> None:
    """After a crash it is asked again; nobody who uses the server notices."""
    server, share = served(town, site, entries(site, str(uuid4()), FLAT))
    with Loop(town.near.namespace, path(share), "loop") as loop:
        assert in_use(town, server.network_info) == []
    assert loop.answer["error_count"] == 0 and loop.answer["rounds"] > 1, loop.answer


def test_networks_that_nobody_else_is_on_are_not_asked(
    town: Town, site: Site, linux_driver: LinuxDriver
) -> None:
    """Nor any where the administrator has switched it off."""
    off = linux_backend.successor(
        town.driver, **(OPTIONS | {"duplicate_address_detection": "false"})
    )
    assert in_use(town, entries(site, str(uuid4()), FLAT, at=NEIGHBOURS), off) == []
    own = Site(linux_driver)
    info = own.entry(str(uuid4()), "net", "10.0.0.20/24")
    own.client("machine", "net", "10.0.0.20/24")
    try:
        assert linux_driver.addresses_in_use([info]) == []
    finally:
        own.clear()


def test_what_a_killed_worker_left_is_removed(town: Town, site: Site) -> None:
    infos = entries(site, str(uuid4()), FLAT, at=NEIGHBOURS)
    layout = town.driver.layout.server(infos[0].server_id)

    dead = []

    def die() -> None:
        """As if the process ended while it asks: nothing is removed."""
        dead.append(duplicates.asking(layout, town.driver._wires, infos, None))
        dead[-1].__enter__()

    town.host.do(die)
    assert in_use(town, infos) == plain(*NEIGHBOURS)
    town.host.do(die)
    assert leftovers(town.driver.layout.namespace, town.driver.layout.state_dir)["links"] != []
    town.host.do(lambda: town.driver.teardown_server(infos[0].server_id, {}))
    assert not namespaces.exists(f"{layout.namespace}.asks")


@pytest.mark.parametrize("next_look", ["ensured", "switched off"])
def test_what_a_killed_worker_left_beside_a_server_goes_with_the_next_look(
    town: Town, site: Site, next_look: str
) -> None:
    """It asked for a new subnet of a server in use."""
    server = serving(town, site, entries(site, str(uuid4()), FLAT))
    layout = site.layout(server)
    question = duplicates.asking(layout, town.driver._wires, server.network_info, None)
    town.host.do(question.__enter__)
    assert namespaces.exists(f"{layout.namespace}.asks")
    off = linux_backend.successor(
        town.driver, **(OPTIONS | {"duplicate_address_detection": "false"})
    )
    if next_look == "ensured":
        town.host.do(lambda: off.ensure_server(server, []))
    else:
        assert in_use(town, server.network_info, off) == []
    assert not namespaces.exists(f"{layout.namespace}.asks")


def test_an_interface_that_is_just_raised_is_waited_for(town: Town, site: Site) -> None:
    """What is sent before a network card has a carrier is lost, and every address seems free."""
    infos = entries(site, str(uuid4()), NIC, at=NEIGHBOURS)

    def pull(links: IPRoute) -> None:
        links.link("set", index=links.link_lookup(ifname="eth0")[0], state="down")

    namespaces.inside(town.apart.namespace, pull)
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(in_use, town, infos)
        wait([asked], timeout=3)  # longer than it asks for
        town.apart.configure("eth0", *NEIGHBOURS)
        assert asked.result() == plain(*NEIGHBOURS)


def test_a_bridge_of_the_host_that_speaks_stp_is_waited_for(town: Town, site: Site) -> None:
    """What is sent before its new port forwards is lost, and every address seems free."""
    set_stp(town.host, "ext", state=1, forward_delay=200)  # hundredths of seconds
    try:
        infos = entries(site, str(uuid4()), FLAT, at=[*NOBODYS, *NEIGHBOURS])
        assert in_use(town, infos) == plain(*NEIGHBOURS)
    finally:
        set_stp(town.host, "ext", state=0, forward_delay=1500)


def set_stp(machine: Machine, bridge: str, state: int, forward_delay: int) -> None:
    def act(links: IPRoute) -> None:
        (index,) = links.link_lookup(ifname=bridge)
        links.link(
            "set",
            index=index,
            kind="bridge",
            br_forward_delay=forward_delay,
            br_stp_state=state,
        )

    namespaces.inside(machine.namespace, act)


@contextmanager
def flood(machine: Machine, frames: list[bytes]) -> Iterator[None]:
    """The machine sends these again and again, as fast as it can."""
    over = threading.Event()
    station = outside(machine, "eth0")

    def flooding() -> None:
        while not over.is_set():
            send(station, frames * 20)

    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(flooding)
        try:
            yield
        finally:
            over.set()
        sending.result()


def test_a_flood_of_forged_answers_is_read_for_a_bounded_time(town: Town, site: Site) -> None:
    """It names no address that was not asked for, and none that only looks like it."""
    infos = entries(site, str(uuid4()), FLAT)
    others = [f"10.0.0.{number}" for number in range(30, 90)]
    forged = [
        ethernet(EVERYBODY, MAC, ARP, arp(REPLY, (MAC, each), (MAC, each))) for each in others
    ]
    forged += [
        ethernet(ALL_NODES, MAC, IPV6, advertisement(f"fd00::{number}", MAC, "fe80::1"))
        for number in range(30, 90)
    ]
    forged += [frame[:length] for frame in forged[::60] for length in (14, 20, 41, 60)]
    with flood(town.near, forged):
        assert in_use(town, infos) == []


def test_a_neighbour_that_claims_everything_is_believed(town: Town, site: Site) -> None:
    """It can have the address anyway; how often a new one is tried is bounded above."""
    infos = entries(site, str(uuid4()), FLAT)
    claims = [
        ethernet(EVERYBODY, MAC, ARP, arp(REPLY, (MAC, "10.0.0.5"), (OTHER, "10.0.0.5"))),
        ethernet(ALL_NODES, MAC, IPV6, advertisement("fd00::5", MAC, "fe80::1")),
    ]
    with flood(town.near, claims):
        assert in_use(town, infos) == ["10.0.0.5", "fd00::5"]


CLAIMS: dict[str, tuple[bytes, str | None]] = {
    "an answer": (arp(REPLY, (MAC, "10.0.0.5"), (OTHER, "10.0.0.9")), "10.0.0.5"),
    "a question by who has it": (
        arp(REQUEST, (MAC, "10.0.0.5"), (NOWHERE, "10.0.0.9")),
        "10.0.0.5",
    ),
    "an announcement": (arp(REQUEST, (MAC, "10.0.0.5"), (NOWHERE, "10.0.0.5")), "10.0.0.5"),
    "a probe by who wants it": (arp(REQUEST, (MAC, "0.0.0.0"), (NOWHERE, "10.0.0.5")), "10.0.0.5"),
    "an answer to nobody": (arp(REPLY, (MAC, "0.0.0.0"), (NOWHERE, "10.0.0.5")), None),
    "ARP of another kind": (b"\0\6" + arp(REPLY, (MAC, "10.0.0.5"), (MAC, "10.0.0.9"))[2:], None),
    "ARP cut off": (arp(REPLY, (MAC, "10.0.0.5"), (MAC, "10.0.0.9"))[:27], None),
    "an advertisement": (advertisement("fd00::5", MAC, "fd00::5"), "fd00::5"),
    "a solicitation by who wants it": (solicitation("fd00::5", "::", MAC), "fd00::5"),
    "a solicitation by another": (solicitation("fd00::5", "fd00::9", MAC), None),
    "IPv6 cut off": (advertisement("fd00::5", MAC, "fd00::5")[:63], None),
    "from another network": (
        advertisement("fd00::5", MAC, "fd00::5").replace(b"\x3a\xff", b"\x3a\x40", 1),
        None,
    ),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_what_a_frame_claims(case: str) -> None:
    packet, address = CLAIMS[case]
    kind = IPV6 if packet[0] >> 4 == 6 else ARP
    head = bytes.fromhex((EVERYBODY + MAC).replace(":", "")) + struct.pack("!H", kind)
    found = neighbour_frames.claimed(head + packet)
    assert found == (address and (ip_address(address), bytes.fromhex(MAC.replace(":", ""))))


@pytest.mark.parametrize("cut", range(0, 86, 5))
def test_a_frame_that_is_cut_off_claims_nothing(cut: int) -> None:
    for packet, kind, whole in (
        (arp(REPLY, (MAC, "10.0.0.5"), (OTHER, "10.0.0.9")), ARP, 42),
        (advertisement("fd00::5", MAC, "fd00::5"), IPV6, 78),
    ):
        head = bytes.fromhex((EVERYBODY + MAC).replace(":", "")) + struct.pack("!H", kind)
        frame = (head + packet)[:cut]
        assert (neighbour_frames.claimed(frame) is None) == (len(frame) < whole)
