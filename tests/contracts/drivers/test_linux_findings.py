"""What `abaca doctor --network` is told by the Linux back end: a server on a flat network and in a
tunnel stands, one thing after the other is broken, and exactly that is named.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from uuid import uuid4

import msgspec
import pytest
from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces, packet_filter
from abaca.drivers.linux.wires.links import PORT_PREFIX
from abaca.drivers.linux.wires.plugging import bridge_name
from abaca.errors import Refused
from abaca.values import ExportChoice, NetworkInfo
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_site import Site
from tests.contracts.drivers.wired_town import (
    FLAT,
    NIC,
    OPTIONS,
    TUNNEL_MTU,
    VNI,
    VXLAN,
    Town,
    entries,
    served,
)
from tests.stack import wait_for

pytestmark = [pytest.mark.sampled_file(8), pytest.mark.root, pytest.mark.timeout(300)]

CLIENT, CLIENT6 = "10.0.0.20", "fd00::20"


@pytest.fixture
def site(wired_site: Site) -> Site:
    return wired_site


class Scene:
    """A server on one flat network, over both families, with a share that everybody may use."""

    def __init__(self, town: Town, site: Site, infos: list[NetworkInfo]) -> None:
        self.town, self.site = town, site
        self.server, self.share = served(town, site, infos)
        self.info = infos[0]
        self.namespace = site.layout(self.server).namespace
        self.bridges = town.driver.layout.namespace
        self.bridge = bridge_name(self.info.subnet.neutron_net_id)

    def lacking(self, client: str | None = None, info: NetworkInfo | None = None) -> dict[str, str]:
        """What is not in order, by the first word of its name."""
        found = self.found(client, info)
        return {what.split()[0]: lack for what, lack in found.items() if lack is not None}

    def found(
        self, client: str | None = None, info: NetworkInfo | None = None
    ) -> dict[str, str | None]:
        asked = info or self.info
        driver = self.town.driver
        seen = self.town.host.do(
            lambda: [
                *driver.network_findings(asked, client),
                *driver.export_findings(self.share, asked, client),
            ]
        )
        return {each.what: each.lack for each in seen}

    def inside(self, namespace: str, act: Callable[[IPRoute], None]) -> None:
        namespaces.inside(namespace, act)

    def set_link(self, namespace: str, name: str, **changes: object) -> None:
        self.inside(
            namespace,
            lambda links: links.link("set", index=links.link_lookup(ifname=name)[0], **changes),
        )

    def port(self, namespace: str) -> str:
        """The server's interface, or its outer end."""

        def act(links: IPRoute) -> str:
            return next(
                str(link.get("ifname"))
                for link in links.get_links(kind="veth")
                if link.get("ifname").startswith(PORT_PREFIX)
            )

        return namespaces.inside(namespace, act)

    def uplink(self) -> str:
        (name,) = [
            name
            for name in _ports_of(self.bridges, self.bridge)
            if not name.startswith(PORT_PREFIX)
        ]
        return name


def _ports_of(namespace: str, bridge: str) -> list[str]:
    def act(links: IPRoute) -> list[str]:
        (index,) = links.link_lookup(ifname=bridge)
        return [
            str(link.get("ifname")) for link in links.get_links() if link.get("master") == index
        ]

    return namespaces.inside(namespace, act)


@pytest.fixture
def scene(town: Town, site: Site) -> Iterator[Scene]:
    made = Scene(town, site, entries(site, str(uuid4()), NIC))
    yield made
    plug_in(made)


def plug_in(scene: Scene) -> None:
    """The cable, at both ends."""
    scene.set_link(scene.town.host.namespace, "nic", state="up")
    scene.town.apart.configure("eth0", f"{CLIENT}/24", f"{CLIENT6}/64")


def test_nothing_lacks_on_the_way_of_a_client_that_is_served(scene: Scene) -> None:
    for info, client in zip(scene.server.network_info, (CLIENT, CLIENT6), strict=True):
        found = scene.found(client, info)
        assert [what.split()[0] for what in found] == [
            *("link", "bridge", "tag", "port", "address", "route", "neighbour", "NFS"),
            *("export", "export"),
        ]
        assert set(found.values()) == {None}, found


Break = Callable[[Scene], None]


def unplug(scene: Scene) -> None:
    scene.set_link(scene.town.apart.namespace, "eth0", state="down")


def lower_the_link(scene: Scene) -> None:
    scene.set_link(scene.town.host.namespace, "nic", state="down")


def lose_the_bridge(scene: Scene) -> None:
    scene.inside(
        scene.bridges,
        lambda links: links.link("del", index=links.link_lookup(ifname=scene.bridge)[0]),
    )


def pull_the_uplink_out(scene: Scene) -> None:
    scene.set_link(scene.bridges, scene.uplink(), master=0)


def pull_the_port_out(scene: Scene) -> None:
    scene.set_link(scene.bridges, scene.port(scene.bridges), master=0)


def lower_the_port(scene: Scene) -> None:
    scene.set_link(scene.namespace, scene.port(scene.namespace), state="down")


def forget_the_port(scene: Scene) -> None:
    """Somebody flushed the packet filter."""
    scene.inside(scene.bridges, lambda _: packet_filter.delete_table("bridge", "abaca"))


def take_the_address(scene: Scene) -> None:
    def act(links: IPRoute) -> None:
        (index,) = links.link_lookup(ifname=scene.port(scene.namespace))
        links.addr("del", index=index, address="10.0.0.5", prefixlen=24)

    scene.inside(scene.namespace, act)


def flush_the_routes(scene: Scene) -> None:
    def act(links: IPRoute) -> None:
        for rule in links.get_rules(family=2):
            if rule.get("FRA_PRIORITY") == 1000:
                links.flush_routes(family=2, table=rule.get("FRA_TABLE"))

    scene.inside(scene.namespace, act)


def kill_nfs(scene: Scene) -> None:
    os.kill(int(scene.site.layout(scene.server).ganesha_pid.read_text()), signal.SIGKILL)
    wait_for(lambda: "NFS" in scene.lacking())


def withdraw(scene: Scene) -> None:
    scene.site.layout(scene.server).export_file(scene.share.id).unlink()


BROKEN: dict[Break, tuple[str, str]] = {
    unplug: ("link", "no carrier"),
    lower_the_link: ("link", "ip link set nic up"),
    lose_the_bridge: ("bridge", "not there"),
    pull_the_uplink_out: ("bridge", "no uplink"),
    pull_the_port_out: ("port", "not on the bridge"),
    lower_the_port: ("port", "down"),
    forget_the_port: ("port", "port security"),
    take_the_address: ("address", "not on"),
    flush_the_routes: ("address", "routes"),
    kill_nfs: ("NFS", "does not run"),
    withdraw: ("export", "not published"),
}


def test_what_is_broken_is_named_and_nothing_before_it_on_the_way(scene: Scene) -> None:
    """On one server, which is put right in between."""
    for broken, (named, words) in BROKEN.items():
        assert scene.lacking() == {}, f"before {broken.__name__}"
        broken(scene)
        lacking = scene.lacking()
        assert words in lacking.get(named, ""), (broken.__name__, lacking)
        assert next(iter(lacking)) == named, (broken.__name__, lacking)
        plug_in(scene)
        scene.town.host.do(lambda: scene.town.driver.ensure_server(scene.server, [scene.share]))
        wait_for(lambda: scene.lacking() == {})


def test_a_client_that_is_not_there_or_not_on_the_network_is_told_from_one_that_is(
    scene: Scene,
) -> None:
    assert "does not answer ARP" in scene.lacking("10.0.0.77")["neighbour"]
    info6 = scene.server.network_info[1]
    assert "neighbour solicitations" in scene.lacking("fd00::77", info6)["neighbour"]
    assert "no gateway" in scene.lacking("198.51.100.7")["route"]
    assert scene.lacking(CLIENT) == {}
    scene.set_link(scene.town.apart.namespace, "eth0", state="down")
    assert scene.lacking(CLIENT).keys() >= {"link", "neighbour"}, "heard of before, and gone"


def test_a_client_that_no_rule_admits_and_a_share_of_other_subnets(
    scene: Scene, town: Town, site: Site
) -> None:
    share = msgspec.structs.replace(scene.share, access_rules=[])
    town.host.do(lambda: town.driver.update_access(share, [], scene.server))
    assert "lets in nobody" in scene.lacking(CLIENT)["export"]
    choice = ExportChoice(ip_version=6)
    chosen = msgspec.structs.replace(scene.share, export_choice=choice)
    town.host.do(lambda: town.driver.ensure_server(scene.server, [chosen]))
    assert "other subnets" in scene.lacking(CLIENT)["export"]
    assert scene.lacking(CLIENT6, scene.server.network_info[1]) == {}


def test_tags_are_compared_with_what_the_network_is(town: Town, site: Site) -> None:
    scene = Scene(town, site, entries(site, str(uuid4()), VXLAN, TUNNEL_MTU))
    assert scene.lacking() == {}
    other = msgspec.structs.replace(scene.info.subnet, segmentation_id=VNI + 1)
    lacking = scene.lacking(info=msgspec.structs.replace(scene.info, subnet=other))
    assert "VNI 5000, but the network is vxlan 5001" in lacking["tag"]


def test_a_bridge_of_the_host_that_leads_nowhere(town: Town, site: Site) -> None:
    scene = Scene(town, site, entries(site, str(uuid4()), FLAT))
    assert scene.lacking() == {}
    scene.set_link(town.host.namespace, "tap", master=0)
    try:
        assert "ip link set INTERFACE master ext" in scene.lacking()["link"]
    finally:
        (index,) = namespaces.inside(
            town.host.namespace, lambda links: links.link_lookup(ifname="ext")
        )
        scene.set_link(town.host.namespace, "tap", master=index)


def test_a_network_without_servers_is_looked_at_alone(town: Town, site: Site) -> None:
    (info,) = entries(site, str(uuid4()), FLAT, at=["10.0.0.5/24"])
    bare = msgspec.structs.replace(info, network_allocations=[])
    (link,) = town.host.do(lambda: town.driver.network_findings(bare))
    assert (link.what, link.lack) == ("link ext", None)
    unknown = msgspec.structs.replace(
        bare, subnet=msgspec.structs.replace(bare.subnet, physical_network="elsewhere")
    )
    (link,) = town.host.do(lambda: town.driver.network_findings(unknown))
    assert link.lack and "elsewhere" in link.lack


def test_what_servers_are_connected_by_and_is_set_no_longer_is_told(town: Town, site: Site) -> None:
    """Before a restart of the machine takes it away; `abaca doctor` shows it."""
    Scene(town, site, entries(site, str(uuid4()), FLAT))
    (whole,) = town.host.do(town.driver.machine_findings)
    assert (whole.what, whole.lack) == ("wires", None)
    options = {**OPTIONS, "physical_networks": "physnet2:nic"}
    later = linux_backend.successor(town.driver, **options)
    (told,) = town.host.do(later.machine_findings)
    assert told.lack and "physical_networks does not name physnet1" in told.lack
    assert "set it again" in told.lack


def test_a_server_that_is_gone(scene: Scene) -> None:
    scene.town.host.do(lambda: scene.town.driver.teardown_server(scene.server.id, {}))
    lacking = scene.lacking()
    assert "cannot be reached" in lacking["exports"]
    assert "not there" in lacking["bridge"] and "no network namespace" in lacking["port"]


@pytest.mark.parametrize("values", [{"cidr": "nonsense"}, {"gateway": "here"}, {"mtu": -1}])
def test_a_subnet_that_nobody_understands_is_named(scene: Scene, values: dict[str, object]) -> None:
    """Not looked for: its row was written past the API."""
    subnet = msgspec.structs.replace(scene.info.subnet, **values)
    info = msgspec.structs.replace(scene.info, subnet=subnet)
    driver = scene.town.driver
    for look in (
        lambda: driver.network_findings(info, CLIENT),
        lambda: driver.export_findings(scene.share, info, CLIENT),
    ):
        with pytest.raises(Refused, match=f"{info.share_network_subnet_id} cannot be served"):
            scene.town.host.do(look)
