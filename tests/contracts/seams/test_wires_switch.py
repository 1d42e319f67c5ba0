"""Wires on the networks of a switch with VLANs, where frames really are tagged, and the VLAN link
that kernels have and this one may not: what is asked of the kernel for it.

The switch is one in user space (`tests/vlan_switch.py`). The box is a namespace that stands for the
host; the machines that it serves are behind a second switch, at the other end of a tagged cable.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from functools import partial

import pytest
from pyroute2 import IPBatch

from abaca.drivers.linux.back_end import DEFAULTS
from abaca.drivers.linux.layout import Layout
from abaca.drivers.linux.wires.interface import Port, Segment, Wires
from abaca.drivers.linux.wires.plugging import BridgePlug
from abaca.drivers.linux.wires.uplinks import vlan_link
from abaca.drivers.linux.wires.wiring import Wiring
from tests.contracts.drivers.wired_hosts import Machine
from tests.forged_frames import ARP, EVERYBODY, REQUEST, Station, arp, capture, ethernet, send
from tests.stack import wait_for
from tests.vlan_switch import Switch

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

RED, BLUE = 110, 120
SERVER, CLIENT = "10.0.0.5", "10.0.0.20/24"
VNI = 5000


class Site:
    """Two switches with a tagged cable, a box at the first, machines at the second."""

    def __init__(self, layout: Layout) -> None:
        self.namespace = layout.namespace
        self.near, self.far = Switch(), Switch()
        self.near.cable(self.far, "cable", (RED, BLUE))
        self.box = Machine(f"{layout.namespace}-box")
        self._machines = [self.box]
        self._servers: list[tuple[Wires, str]] = []

    def machine(self, name: str, vlan: int, *addresses: str) -> Machine:
        """At the second switch, on a VLAN that it knows nothing of."""
        made = self.bare_machine(name)
        self.far.access(made.namespace, "eth0", vlan)
        made.configure("eth0", *addresses)
        return made

    def bare_machine(self, name: str) -> Machine:
        self._machines.append(Machine(f"{self.namespace}-{name}"))
        return self._machines[-1]

    def wires(self, **options: str) -> Wires:
        made = BridgePlug(self.namespace, Wiring({**DEFAULTS, **options}))
        self.box.do(made.prepare)
        return made

    def server(self, wires: Wires, segment: Segment, mtu: int = 1500) -> Station:
        """With `SERVER`, connected by `wires`."""
        owner = uuid.uuid4().hex[:8]
        made = Machine(f"{self.namespace}.{owner}")
        self._machines.append(made)
        self._servers.append((wires, owner))
        mac = f"fa:16:3e:00:00:{len(self._servers):02x}"
        port = Port(
            made.namespace, owner, str(uuid.uuid4()), mac, mtu, segment, addresses=(SERVER,)
        )
        self.box.do(lambda: wires.connect(port))
        made.configure(port.name, f"{SERVER}/24")
        return Station(made.namespace, port.name, mac, SERVER, "")

    def remove(self) -> None:
        for wires, owner in self._servers:
            self.box.do(partial(wires.disconnect_owner, owner))
        self.near.stop()
        self.far.stop()
        for machine in self._machines:
            machine.remove()


@pytest.fixture
def site(layout: Layout) -> Iterator[Site]:
    made = Site(layout)
    yield made
    made.remove()


def test_two_vlans_at_two_access_ports_have_the_same_addresses_and_do_not_meet(site: Site) -> None:
    """Untagged at the box, tagged on the cable, untagged at the machines."""
    for name, vlan in (("eth1", RED), ("eth2", BLUE)):
        site.near.access(site.box.namespace, name, vlan)
    wires = site.wires(physical_networks="red:eth1, blue:eth2")
    red, blue = (site.machine(f"m{vlan}", vlan, CLIENT) for vlan in (RED, BLUE))
    site.server(wires, Segment("flat", None, "red"))
    wait_for(lambda: red.reaches(SERVER))
    assert not blue.reaches(SERVER)
    site.server(wires, Segment("flat", None, "blue"))
    wait_for(lambda: blue.reaches(SERVER))
    assert red.reaches(SERVER)
    assert {tag for port, tag in site.near.carried if port == "cable"} == {RED, BLUE}
    assert {tag for port, tag in site.near.carried if port != "cable"} == {None}


def test_frames_of_other_vlans_of_a_trunk_do_not_enter_its_flat_network(site: Site) -> None:
    """The box is at a port of the switch where one VLAN is untagged and another tagged: what comes
    with a tag does not even arrive at a server's interface."""
    site.near.trunk(site.box.namespace, "eth1", (BLUE,), native=RED)
    wires = site.wires(physical_networks="red:eth1")
    red, blue = (site.machine(f"m{vlan}", vlan, CLIENT) for vlan in (RED, BLUE))
    server = site.server(wires, Segment("flat", None, "red"))
    wait_for(lambda: red.reaches(SERVER))
    assert not blue.reaches(SERVER)
    sent = {tag: question(f"02:00:00:00:00:{tag or 0:02x}") for tag in (BLUE, None)}
    with capture(server) as captured:
        for machine, tag in ((blue, BLUE), (red, None)):
            site.near.carried.clear()
            send(server._replace(netns=machine.namespace, interface="eth0"), [sent[tag]])
            wait_for(lambda tag=tag: ("eth1", tag) in site.near.carried)  # type: ignore[misc]
        captured.wait_for([sent[None]])
        assert captured.those_of([sent[BLUE]]) == []


def question(mac: str) -> bytes:
    """By ARP, to everybody, from somebody whom nobody knows."""
    asks = arp(REQUEST, (mac, "10.0.0.30"), (EVERYBODY, SERVER))
    return ethernet(EVERYBODY, mac, ARP, asks)


def test_a_tunnel_through_the_switch(site: Site) -> None:
    """The tunnels are on one VLAN, whose tag they do not see."""
    site.near.access(site.box.namespace, "eth1", RED)
    site.box.configure("eth1", "198.18.0.1/24")
    remote = site.machine("remote", RED, "198.18.0.2/24")
    far = site.bare_machine("far")
    wires = site.wires(vxlan_local_address="198.18.0.1", vxlan_remotes="198.18.0.2")
    site.server(wires, Segment("vxlan", VNI), mtu=1450)
    more = {"vxlan_local": "198.18.0.2", "vxlan_group": "198.18.0.1"}
    remote.tunnel_end(far, "vx", vxlan_id=VNI, vxlan_port=4789, mtu=1450, **more)
    far.configure("vx", CLIENT)
    wait_for(lambda: far.reaches(SERVER))


def test_what_the_kernel_is_asked_for_as_a_vlan_link() -> None:
    """Read from the bytes of the request. Kernels without VLAN links refuse it, so here nothing
    shows that frames get the tag by it: `test_machines_on_a_vlan_are_served` does, where they have
    them."""
    batch = IPBatch()
    batch.link("add", **vlan_link("v0", trunk=7, vlan_id=110))
    asked = dict(attributes(bytes(batch.batch)[_HEADERS:]))
    (trunk,) = struct.unpack("I", asked[IFLA_LINK])
    kind = dict(attributes(asked[IFLA_LINKINFO]))
    (vlan_id,) = struct.unpack("H", dict(attributes(kind[IFLA_INFO_DATA]))[IFLA_VLAN_ID])
    assert (asked[IFLA_IFNAME].rstrip(b"\0"), trunk) == (b"v0", 7)
    assert (kind[IFLA_INFO_KIND].rstrip(b"\0"), vlan_id) == (b"vlan", 110)


# of linux/if_link.h and linux/rtnetlink.h
IFLA_IFNAME, IFLA_LINK, IFLA_LINKINFO = 3, 5, 18
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_VLAN_ID = 1, 2, 1
_NESTED_OR_ORDERED = 0xC000
_HEADERS = 16 + 16  # of a netlink message, and of a link's


def attributes(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and value of each attribute of a netlink message."""
    while content:
        length, kind = struct.unpack("HH", content[:4])
        yield kind & ~_NESTED_OR_ORDERED, content[4:length]
        content = content[length + -length % 4 :]
