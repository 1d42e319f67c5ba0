"""Nobody outside sends as a share server of the Linux back end: machines on a physical network, and
hosts beside the tunnels."""

from __future__ import annotations

from uuid import uuid4

import pytest

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.wires import plugging
from abaca.drivers.linux.wires.interface import Segment
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import Site
from tests.contracts.drivers.wired_hosts import Machine
from tests.contracts.drivers.wired_town import (
    FLAT,
    NIC,
    OPTIONS,
    TUNNEL_MTU,
    VNI,
    VXLAN,
    Town,
    entries,
    serving,
)
from tests.forged_frames import ATTACKS, Station, arrived, capture, honest, send_encapsulated

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

SERVERS = (5, 6)
ENDS = {
    # the other end, a stranger and where they send to; then options that differ
    "IPv4": ("198.18.0.2", "198.18.0.3", "198.18.0.1", {}),
    "IPv6": (
        "fd00:198::2",
        "fd00:198::3",
        "fd00:198::1",
        {"vxlan_local_address": "fd00:198::1", "vxlan_remotes": "fd00:198::2"},
    ),
}


@pytest.fixture
def site(wired_site: Site) -> Site:
    return wired_site


def servers(town: Town, site: Site, segment: Segment, mtu: int = 1500) -> list[Station]:
    """Two share servers on that network, each of one port with both addresses."""
    made = []
    for number in SERVERS:
        mac, at = f"fa:16:3e:cc:00:{number:02x}", (f"10.0.0.{number}/24", f"fd00::{number}/64")
        server = serving(town, site, entries(site, str(uuid4()), segment, mtu, at, mac))
        netns = site.layout(server).namespace
        ((interface, _),) = plugging.ports_in(netns).items()
        made.append(Station(netns, interface, mac, f"10.0.0.{number}", f"fd00::{number}"))
    return made


def outside(machine: Machine, interface: str) -> Station:
    mac = namespaces.inside(
        machine.namespace, lambda links: links.link("get", ifname=interface)[0].get("address")
    )
    return Station(machine.namespace, interface, mac, "10.0.0.20", "fd00::20")


@pytest.mark.parametrize("through", ["a bridge of the host", "an interface", "a tunnel"])
def test_nobody_behind_an_uplink_sends_as_a_share_server(
    town: Town, site: Site, through: str
) -> None:
    segment, machine, interface, mtu = {
        "a bridge of the host": (FLAT, town.near, "eth0", 1500),
        "an interface": (NIC, town.apart, "eth0", 1500),
        "a tunnel": (VXLAN, town.far, "vx", TUNNEL_MTU),
    }[through]
    if segment is VXLAN:
        town.tunnel(vxlan_local="198.18.0.2", vxlan_group="198.18.0.1")
    victim, witness = servers(town, site, segment, mtu)
    attacker = outside(machine, interface)
    for attack in ATTACKS:
        assert arrived(attacker, attack(attacker, victim, witness), victim, witness) == [[], []], (
            attack.__name__
        )


@pytest.mark.parametrize("ends", ENDS)
def test_a_host_that_is_no_other_end_reaches_nobody_in_the_tunnel(
    town: Town, site: Site, ends: str
) -> None:
    other_end, stranger, host, options = ENDS[ends]
    site.driver = linux_backend.successor(town.driver, **(OPTIONS | options))
    town.remote.configure("tun", "198.18.0.3/24", "fd00:198::3/64")
    (server, _) = servers(town, site, VXLAN, 1430)
    sender = Station("", "", "02:00:00:00:00:20", "10.0.0.20", "fd00::20")
    injected, follows = honest(sender, server), honest(sender, server)
    with capture(server) as captured:
        town.remote.do(lambda: send_encapsulated(stranger, host, VNI, injected))
        town.remote.do(lambda: send_encapsulated(other_end, host, VNI, follows))
        captured.wait_for(follows)
        assert captured.those_of(injected) == []


def test_other_interfaces_of_the_host_lead_into_no_tunnel(town: Town, site: Site) -> None:
    """With a multicast group the other ends are not known, but where they are is."""
    options = OPTIONS | {"vxlan_remotes": "", "vxlan_group": "239.1.1.1"}
    site.driver = linux_backend.successor(town.driver, **options)
    town.host.configure("ext", "203.0.113.1/24")
    town.near.configure("eth0", "203.0.113.2/24")
    (server, _) = servers(town, site, VXLAN, 1430)
    sender = Station("", "", "02:00:00:00:00:20", "10.0.0.20", "fd00::20")
    injected, follows = honest(sender, server), honest(sender, server)
    with capture(server) as captured:
        town.near.do(lambda: send_encapsulated("203.0.113.2", "203.0.113.1", VNI, injected))
        town.remote.do(lambda: send_encapsulated("198.18.0.2", "198.18.0.1", VNI, follows))
        captured.wait_for(follows)
        assert captured.those_of(injected) == []
