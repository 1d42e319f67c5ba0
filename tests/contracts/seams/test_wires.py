"""What every kind of wires must do: the contract of `wires/interface.py`, tried without pools,
share servers and NFS.

A network namespace stands for the host; who is on the network beside a port is a machine outside of
it, or behind another port.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any, NamedTuple

import pytest
from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.back_end import DEFAULTS
from abaca.drivers.linux.layout import Layout
from abaca.drivers.linux.wires.carriers import Carriers
from abaca.drivers.linux.wires.interface import Port, Segment, Wires
from abaca.drivers.linux.wires.links import delete
from abaca.drivers.linux.wires.plugging import BridgePlug
from abaca.drivers.linux.wires.port_rules import Role
from abaca.drivers.linux.wires.wiring import Wiring
from abaca.errors import Refused, Unavailable
from abaca.values import NetworkInfo, Subnet
from tests.contracts.drivers.test_linux_wires import has_kind
from tests.contracts.drivers.wired_hosts import Machine
from tests.contracts.drivers.wired_town import (
    FLAT,
    NIC,
    OPTIONS,
    TUNNEL_MTU,
    VNI,
    VXLAN,
    Neighbourhood,
)
from tests.stack import wait_for

pytestmark = [pytest.mark.root, pytest.mark.timeout(300), pytest.mark.sampled_file(4)]

SERVER, CLIENT = ("10.0.0.5", "fd00::5"), ("10.0.0.20", "fd00::20")
PREFIXES = ("/24", "/64")
VLAN = Segment("vlan", 7, "physnet1")
OWN = Segment("vxlan", VNI, is_local=True)
FLAT_BRIDGE = {"physical_networks": "physnet1:ext"}
TUNNELS = {name: value for name, value in OPTIONS.items() if name.startswith("vxlan")}


class Kind(NamedTuple):
    """Options, what the network is on the wire, and the machine of the town that is on it (none:
    somebody behind another port)."""

    options: dict[str, str]
    segment: Segment
    outside: str = ""
    mtu: int = 1500


KINDS = {
    "Abaca's own": Kind({}, OWN),
    "Abaca's own, beside a physical network": Kind(FLAT_BRIDGE, OWN),
    "Abaca's own, of the type local": Kind(OPTIONS, Segment("local", is_local=True)),
    "flat, by a bridge": Kind(OPTIONS, FLAT, "near"),
    "flat, by an interface": Kind(OPTIONS, NIC, "apart"),
    "vlan": Kind(OPTIONS, VLAN, "near"),
    "vxlan": Kind(OPTIONS, VXLAN, "far", TUNNEL_MTU),
}


class Scene:
    """One kind of wires, a server's namespace, and somebody else on its network."""

    def __init__(self, kind: Kind, town: Neighbourhood, layout: Layout) -> None:
        self.kind = kind
        self.town = town
        self.network = str(uuid.uuid4())
        self.server = Machine(f"{layout.namespace}.{uuid.uuid4().hex[:8]}")
        self.owner = self.server.namespace.partition(".")[2]
        self._bridges = layout.namespace
        self.wires = self.again()
        self.do(self.wires.prepare)
        if not kind.outside:
            self.peer = Machine(f"{layout.namespace}-peer")
            self.do(lambda: self.wires.connect(self.port("peer", self.peer, CLIENT, Role.MACHINE)))
            self.peer.configure(self.port("peer", self.peer, CLIENT).name, *with_prefixes(CLIENT))
            return
        self.peer = getattr(town, kind.outside)
        self.peer.forget_neighbours()
        if kind.segment == VXLAN:
            town.tunnel(vxlan_local="198.18.0.2", vxlan_group="198.18.0.1")

    def again(self, options: dict[str, str] | None = None) -> Wires:
        """As a new worker has them, that remembers nothing; with other options, if any are
        given."""
        chosen = self.kind.options if options is None else options
        return BridgePlug(self._bridges, Wiring({**DEFAULTS, **chosen}))

    def do(self, act: Callable[[], Any]) -> Any:
        """On the host."""
        return self.town.host.do(act)

    def port(
        self, owner: str, machine: Machine, addresses: tuple[str, ...], role: Role = Role.SERVER
    ) -> Port:
        mac = f"fa:16:3e:00:{len(owner):02x}:{len(self.network):02x}"
        return Port(
            machine.namespace,
            owner,
            self.network,
            mac,
            self.kind.mtu,
            self.kind.segment,
            addresses,
            role,
        )

    @property
    def own_port(self) -> Port:
        return self.port(self.owner, self.server, SERVER)

    def connect(self, wires: Wires | None = None) -> None:
        """The server, with its addresses."""
        self.do(lambda: (wires or self.wires).connect(self.own_port))
        self.server.configure(self.own_port.name, *with_prefixes(SERVER))

    def link(self) -> Any:
        """The server's interface as the kernel has it."""
        return namespaces.inside(
            self.server.namespace,
            lambda links: links.get_links(*links.link_lookup(ifname=self.own_port.name))[0],
        )

    def remove(self) -> None:
        self.do(lambda: self.wires.disconnect_owner(self.owner))
        if not self.kind.outside:
            self.do(lambda: self.wires.disconnect_owner("peer"))
            self.peer.remove()
        self.server.remove()


def with_prefixes(addresses: tuple[str, ...]) -> list[str]:
    return [address + prefix for address, prefix in zip(addresses, PREFIXES, strict=True)]


@pytest.fixture(scope="module")
def town(layout: Layout) -> Iterator[Neighbourhood]:
    made = Neighbourhood(layout.namespace)
    yield made
    made.remove()


@pytest.fixture(params=KINDS)
def scene(request: pytest.FixtureRequest, town: Neighbourhood, layout: Layout) -> Iterator[Scene]:
    kind = KINDS[request.param]
    if kind.segment == VLAN:
        if not has_kind("vlan"):
            pytest.skip("this kernel has no VLAN interfaces (CONFIG_VLAN_8021Q)")
        tag(town.near)
    made = Scene(kind, town, layout)
    yield made
    made.remove()
    assert namespaces.inside(
        layout.namespace, lambda links: [link.get("ifname") for link in links.get_links()]
    ) == ["lo"], "nothing is left"


def tag(machine: Machine) -> None:
    """Have the machine's addresses on a VLAN of its interface."""

    def act(links: IPRoute) -> None:
        (index,) = links.link_lookup(ifname="eth0")
        links.flush_addr(index=index)
        if not links.link_lookup(ifname="eth0.7"):
            links.link("add", ifname="eth0.7", kind="vlan", link=index, vlan_id=7)

    namespaces.inside(machine.namespace, act)
    machine.configure("eth0.7", *with_prefixes(CLIENT))


def assert_reached(scene: Scene) -> None:
    for address in SERVER:
        wait_for(partial(scene.peer.reaches, address))


def test_a_port_is_on_its_network_as_it_is_described(scene: Scene) -> None:
    scene.connect()
    assert_reached(scene)
    link = scene.link()
    assert (link.get("address"), link.get("mtu"), link["state"]) == (
        scene.own_port.mac_address,
        scene.kind.mtu,
        "up",
    )
    assert scene.do(lambda: scene.wires.port_names(scene.server.namespace)) == {scene.own_port.name}


def test_a_port_that_is_right_is_not_touched_by_anybody(scene: Scene) -> None:
    scene.connect()
    before = scene.link()["index"]
    for wires in (scene.wires, scene.again()):
        scene.do(partial(wires.connect, scene.own_port))
        assert scene.link()["index"] == before
    assert_reached(scene)


@pytest.mark.parametrize("lost", ["the bridges", "a port", "its state"])
def test_what_was_lost_comes_back(scene: Scene, layout: Layout, lost: str) -> None:
    scene.connect()

    def lose(links: IPRoute) -> None:
        mine = [link for link in links.get_links() if link.get("ifname") == scene.own_port.name]
        bridges = [
            link
            for link in links.get_links()
            if (link.get("linkinfo") or {}).get("kind") == "bridge"
        ]
        for link in {"the bridges": bridges, "a port": mine}.get(lost, []):
            links.link("del", index=link["index"])

    namespaces.inside(layout.namespace, lose)
    if lost == "its state":
        namespaces.inside(
            scene.server.namespace,
            lambda links: links.link("set", index=scene.link()["index"], state="down", mtu=1280),
        )
    if lost == "the bridges" and not scene.kind.outside:
        scene.do(lambda: scene.wires.connect(scene.port("peer", scene.peer, CLIENT, Role.MACHINE)))
    scene.connect(scene.again())
    assert_reached(scene)
    assert scene.link().get("mtu") == scene.kind.mtu


def test_a_port_sends_as_itself_only(scene: Scene) -> None:
    """Nobody hears of an address that the server was not given."""
    scene.connect()
    scene.server.configure(scene.own_port.name, "10.0.0.6/24", "fd00::6/64")
    assert_reached(scene)
    assert not any(scene.peer.reaches(address) for address in ("10.0.0.6", "fd00::6"))


def test_networks_do_not_meet(scene: Scene) -> None:
    """Not even with the same addresses on both."""
    scene.connect()
    stranger = Machine(f"{scene.server.namespace}x")
    port = scene.own_port._replace(
        namespace=stranger.namespace,
        network_id=str(uuid.uuid4()),
        segment=None,
        addresses=CLIENT,
        mac_address="fa:16:3e:00:00:99",
    )
    try:
        scene.do(lambda: scene.wires.connect(port))
        stranger.configure(port.name, *with_prefixes(CLIENT))
        assert not any(stranger.reaches(address) for address in SERVER)
        assert_reached(scene)
    finally:
        scene.do(lambda: scene.wires.disconnect(stranger.namespace, [port.name]))
        stranger.remove()


def test_ports_are_taken_away_again_and_without_their_namespace(scene: Scene) -> None:
    scene.connect()
    for _ in range(2):
        scene.do(lambda: scene.wires.disconnect(scene.server.namespace, [scene.own_port.name]))
        assert scene.do(lambda: scene.wires.port_names(scene.server.namespace)) == set()
    assert not scene.peer.reaches(SERVER[0])
    scene.connect()
    scene.server.remove()
    for _ in range(2):
        scene.do(lambda: scene.wires.disconnect(scene.server.namespace, [scene.own_port.name]))
        scene.do(lambda: scene.wires.disconnect_owner(scene.owner))
    with pytest.raises(Unavailable):
        scene.do(lambda: scene.wires.connect(scene.own_port))
    with pytest.raises(Unavailable):
        scene.do(lambda: scene.wires.port_names(scene.server.namespace))


def test_networks_that_are_not_reached_are_refused(scene: Scene) -> None:
    def on(segment: Segment, mtu: int) -> list[NetworkInfo]:
        subnet = Subnet(
            neutron_net_id=scene.network,
            neutron_subnet_id=str(uuid.uuid4()),
            cidr="10.0.0.0/24",
            ip_version=4,
            mtu=mtu,
            **segment._asdict(),
        )
        return [
            NetworkInfo(
                server_id=scene.owner,
                share_network_subnet_id=str(uuid.uuid4()),
                subnet=subnet,
                network_allocations=[],
            )
        ]

    scene.do(lambda: scene.wires.refuse_unreachable(on(scene.kind.segment, scene.kind.mtu), None))
    assert scene.do(lambda: scene.wires.is_own_only) is not bool(scene.kind.options)
    wrong = [
        (Segment("geneve", 5, is_local=True), 1400),
        (Segment("flat", None, "physnet9", is_local=True), 1400),
        (Segment("flat", is_local=True), 1400),
    ]
    if scene.kind.options:
        wrong.append((Segment("local"), 1400))
    if scene.kind.outside:
        wrong.append((scene.kind.segment, 9000))
    elif "vxlan_local_address" not in scene.kind.options and scene.kind.options:
        wrong.append((OWN._replace(is_local=False), 1400))
    for segment, mtu in wrong:
        with pytest.raises(Refused, match=scene.network):
            scene.do(partial(scene.wires.refuse_unreachable, on(segment, mtu), None))
    scene.do(lambda: scene.wires.refuse_unreachable(on(scene.kind.segment, 9000), 1300))


@pytest.mark.parametrize("more", [FLAT_BRIDGE, TUNNELS, OPTIONS], ids=["flat", "vxlan", "both"])
def test_an_option_that_is_set_takes_nobody_off_the_wire(
    town: Neighbourhood, layout: Layout, more: dict[str, str]
) -> None:
    """A server on a network of Abaca's own keeps its port and its neighbours, also when the network
    gets a tunnel."""
    scene = Scene(Kind({}, OWN, mtu=TUNNEL_MTU), town, layout)
    try:
        scene.connect()
        before = scene.link()["index"]
        later = scene.again(more)
        scene.do(later.prepare)
        scene.do(partial(later.connect, scene.own_port))
        assert scene.link()["index"] == before
        assert_reached(scene)
    finally:
        scene.remove()


class Watched(Carriers):
    """Waits for very long, and says when it begins to."""

    def __init__(self) -> None:
        super().__init__(seconds=600)
        self.begun = threading.Event()

    def wait(self, number: int, has_carrier: Callable[[], bool]) -> None:
        self.begun.set()
        super().wait(number, has_carrier)


def test_a_card_without_a_carrier_holds_up_no_other_network(
    town: Neighbourhood, layout: Layout
) -> None:
    """Its own network waits for it; ports of others are connected meanwhile."""
    scene, cards = Scene(KINDS["flat, by an interface"], town, layout), Watched()
    patient = BridgePlug(layout.namespace, Wiring({**DEFAULTS, **OPTIONS}), cards)
    other = Machine(f"{layout.namespace}-other")
    port = scene.own_port._replace(
        namespace=other.namespace, owner="other", network_id=str(uuid.uuid4()), segment=None
    )
    set_state(town.apart, "down")
    try:
        with ThreadPoolExecutor(2) as threads:
            waiting = threads.submit(scene.do, partial(patient.connect, scene.own_port))
            try:
                assert cards.begun.wait(60)
                connected = threads.submit(scene.do, partial(scene.wires.connect, port))
                wait([connected], timeout=60)
                assert connected.done() and not waiting.done()
            finally:
                set_state(town.apart, "up")
            waiting.result()
        town.apart.configure("eth0", *with_prefixes(CLIENT))
        scene.connect()
        assert_reached(scene)
    finally:
        town.apart.configure("eth0", *with_prefixes(CLIENT))
        scene.do(lambda: scene.wires.disconnect_owner("other"))
        other.remove()
        scene.remove()


def set_state(machine: Machine, state: str) -> None:
    namespaces.inside(
        machine.namespace,
        lambda links: links.link("set", index=links.link_lookup(ifname="eth0")[0], state=state),
    )


ELSEWHERE = {"physical_networks": "elsewhere:ext"}


@pytest.mark.parametrize("left", [{}, ELSEWHERE], ids=["nothing", "another physical network"])
@pytest.mark.parametrize("own", [True, False], ids=["Abaca's own", "Neutron's"])
@pytest.mark.parametrize("scene", [name for name in KINDS if KINDS[name].outside], indirect=True)
def test_an_option_that_is_taken_away_leaves_the_wire_and_is_told(
    scene: Scene, caplog: pytest.LogCaptureFixture, left: dict[str, str], own: bool
) -> None:
    scene.kind = scene.kind._replace(segment=scene.kind.segment._replace(is_local=own))
    scene.connect()
    before = scene.link()["index"]
    later = scene.again(left)
    caplog.clear()
    scene.do(later.prepare)
    option = "vxlan_local_address" if scene.kind.segment.network_type == "vxlan" else "physnet"
    assert [record for record in caplog.records if option in record.getMessage()]
    assert [told for told in scene.do(later.unnamed) if option in told]
    scene.do(partial(later.connect, scene.own_port))
    assert scene.link()["index"] == before
    assert_reached(scene)


def test_a_wire_that_is_lost_with_its_option_is_refused(
    town: Neighbourhood, layout: Layout
) -> None:
    """As after a reboot: no server is left on a network that leads nowhere."""
    scene = Scene(Kind(FLAT_BRIDGE, FLAT._replace(is_local=True), "near"), town, layout)
    try:
        later = scene.again({})
        with pytest.raises(Refused, match="physical_networks does not name physnet1"):
            scene.do(partial(later.connect, scene.own_port))
    finally:
        scene.remove()


def test_a_link_that_vanishes_while_it_is_being_deleted_is_gone() -> None:
    """The kernel takes a namespace apart some time after its name has gone, and with it the other
    ends of its links."""

    class Vanishing:
        def __init__(self, links: IPRoute) -> None:
            self.link = links.link
            self._links = links

        def link_lookup(self, ifname: str) -> list[int]:
            found: list[int] = self._links.link_lookup(ifname=ifname)
            self._links.link("del", index=found[0])
            return found

    def act(links: IPRoute) -> list[int]:
        links.link("add", ifname="a", kind="bridge")
        delete(Vanishing(links), ["a"])
        left: list[int] = links.link_lookup(ifname="a")
        return left

    assert namespaces.inside_new(act) == []
