"""The Linux back end on networks that others are on, too: machines on a flat network, and others
behind a VXLAN tunnel, mount by NFS.

A network namespace stands for the host that the back end runs on; nothing is made in the one that
the tests run in.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import msgspec
import pytest
from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.wires.interface import Segment
from abaca.errors import Refused, Unavailable
from abaca.values import NetworkInfo, NetworkInfoUpdate
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import Loop, probe
from tests.contracts.drivers.linux_site import Site, assert_served, path
from tests.contracts.drivers.wired_hosts import Machine
from tests.contracts.drivers.wired_town import (
    FLAT,
    NIC,
    OPTIONS,
    SERVER,
    TUNNEL_MTU,
    VXLAN,
    Town,
    entries,
    served,
    serving,
)

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

VLAN = Segment("vlan", 7, "physnet1")
ROUTER = {"10.0.0.1": 24, "fd00::1": 64}  # a router's addresses on the flat network


def has_kind(kind: str) -> bool:
    """Whether the kernel has VLAN interfaces and the like."""

    def attempt(links: IPRoute) -> None:
        links.link("add", ifname="a", kind="bridge")
        links.link("add", ifname="b", kind=kind, link=links.link_lookup(ifname="a")[0], vlan_id=2)

    try:
        namespaces.inside_new(attempt)
    except Unavailable:
        return False
    return True


@pytest.fixture
def site(wired_site: Site) -> Site:
    return wired_site


def mtus(town: Town, name_prefixes: tuple[str, ...]) -> set[int]:
    """Of the links in Abaca's own namespace."""
    return namespaces.inside(
        town.driver.layout.namespace,
        lambda links: {
            link.get("mtu")
            for link in links.get_links()
            if link.get("ifname").startswith(name_prefixes)
        },
    )


@pytest.mark.parametrize("through", ["a bridge of the host", "an interface"])
def test_machines_on_a_flat_network_are_served_over_both_families(
    town: Town, site: Site, through: str
) -> None:
    segment, machine, other = (
        (FLAT, town.near, town.apart)
        if through == "a bridge of the host"
        else (NIC, town.apart, town.near)
    )
    server, share = served(town, site, entries(site, str(uuid4()), segment))
    assert_served(machine.namespace, share)
    assert not other.reaches(SERVER), "the physical networks stay apart"
    for name in set(town.host.ports("ext")) - {"tap"}:
        assert town.host.addresses(name) == []
    taken = server.network_info[0].network_allocations[0].mac_address
    found = namespaces.inside(
        site.layout(server).namespace,
        lambda links: [link.get("address") for link in links.get_links(kind="veth")],
    )
    assert taken in found


@pytest.fixture
def behind(town: Town) -> Iterator[Machine]:
    """A machine on a network of its own, behind the flat network's router, which is `near`."""
    machine, router = Machine(f"{town.near.namespace}-behind"), town.near
    router.cable("lan", machine, "eth0")
    router.configure("lan", "10.9.0.1/24", "fd09::1/64")
    router.configure("eth0", *(f"{address}/{ROUTER[address]}" for address in ROUTER))
    machine.configure("eth0", "10.9.0.2/24", "fd09::2/64")
    set_forwarding(router, "1")
    add_route(machine, "10.0.0.0/24", "10.9.0.1")
    add_route(machine, "fd00::/64", "fd09::1")
    yield machine
    set_forwarding(router, "0")
    namespaces.inside(router.namespace, lambda links: leave(links, ROUTER))
    machine.remove()


def leave(links: IPRoute, addresses: dict[str, int]) -> None:
    """Take addresses, with the lengths of their prefixes, from `eth0`."""
    (index,) = links.link_lookup(ifname="eth0")
    for address, length in addresses.items():
        links.addr("del", index=index, address=address, prefixlen=length)


def set_forwarding(machine: Machine, value: str) -> None:
    settings = {"ipv4/ip_forward": value, "ipv6/conf/all/forwarding": value}
    machine.do(lambda: namespaces.set_sysctl(settings))


def add_route(machine: Machine, to: str, gateway: str) -> None:
    namespaces.inside(machine.namespace, lambda links: links.route("add", dst=to, gateway=gateway))


def with_gateways(infos: list[NetworkInfo], *gateways: str) -> list[NetworkInfo]:
    return [
        msgspec.structs.replace(info, subnet=msgspec.structs.replace(info.subnet, gateway=gateway))
        for info, gateway in zip(infos, gateways, strict=True)
    ]


def test_routed_clients_are_served_through_the_gateway_of_a_flat_network(
    town: Town, site: Site, behind: Machine
) -> None:
    """The router is a machine outside, whose addresses no share server gets."""
    lost = serving(town, site, entries(site, str(uuid4()), FLAT, at=["10.0.0.6/24", "fd00::6/64"]))
    infos = with_gateways(entries(site, str(uuid4()), FLAT), *ROUTER)
    _, share = served(town, site, infos)
    assert_served(behind.namespace, share)
    assert_served(town.near.namespace, share)
    assert not any(
        behind.reaches(each.ip_address)
        for info in lost.network_info
        for each in info.network_allocations
    ), "without a gateway there is no way back"
    taken = entries(site, str(uuid4()), FLAT, at=["10.0.0.1/24", "fd00::1/64"])
    assert town.host.do(lambda: town.driver.addresses_in_use(taken)) == list(ROUTER)


@pytest.mark.parametrize("ends", ["remotes", "group", "IPv6"])
def test_machines_behind_a_tunnel_are_served_over_both_families(
    town: Town, site: Site, ends: str
) -> None:
    """The server is set up by the first wiring; what comes later finds it on the other one."""
    server, share = served(town, site, entries(site, str(uuid4()), VXLAN, TUNNEL_MTU))
    town.tunnel(vxlan_local="198.18.0.2", vxlan_group="198.18.0.1")
    if ends != "remotes":
        version, group, local = (
            ("", "239.1.1.1", "198.18.0.1")
            if ends == "group"
            else ("6", "fd00:198::1", "fd00:198::1")
        )
        other = {
            "group": {"vxlan_remotes": "", "vxlan_group": group},
            "IPv6": {"vxlan_remotes": "fd00:198::2"},
        }[ends]
        later = linux_backend.successor(
            town.driver, **(OPTIONS | {"vxlan_local_address": local} | other)
        )
        mtu = 1430 if ends == "IPv6" else TUNNEL_MTU
        infos = [
            msgspec.structs.replace(info, subnet=msgspec.structs.replace(info.subnet, mtu=mtu))
            for info in server.network_info
        ]
        moved = msgspec.structs.replace(server, network_info=infos)
        town.host.do(lambda: later.ensure_server(moved, [share]))
        (index,) = namespaces.inside(
            town.remote.namespace, lambda links: links.link_lookup(ifname="tun")
        )
        remote_local = "fd00:198::2" if ends == "IPv6" else "198.18.0.2"
        town.tunnel(
            **{f"vxlan_local{version}": remote_local, f"vxlan_group{version}": group},
            vxlan_link=index,
        )
    else:
        assert mtus(town, ("x", "p", "br")) == {TUNNEL_MTU}
    assert_served(town.far.namespace, share)
    assert town.far.reaches(SERVER) and not town.near.reaches(SERVER)


def test_a_second_network_is_added_while_a_machine_works(town: Town, site: Site) -> None:
    """The flat network's uplink is not touched when another server comes to it and goes."""
    server, share = served(town, site, entries(site, str(uuid4()), FLAT))
    added = entries(site, server.id, VXLAN, TUNNEL_MTU, at=["10.1.0.5/24"])
    town.tunnel(vxlan_local="198.18.0.2", vxlan_group="198.18.0.1")
    town.far.configure("vx", "10.1.0.20/24")
    with Loop(town.near.namespace, path(share), "loop") as loop:
        update = NetworkInfoUpdate(current=server.network_info, added=added)
        answer = town.host.do(
            lambda: town.driver.update_share_server_network_allocations(update, {}, [share], [])
        )
        visitor = serving(town, site, entries(site, str(uuid4()), FLAT, at=["10.0.0.6/24"]))
        town.host.do(lambda: town.driver.teardown_server(visitor.id, {}))
    assert loop.answer["error_count"] == 0 and loop.answer["rounds"] > 5, loop.answer
    locations = answer.share_updates[share.id].export_locations
    assert locations is not None and len(locations) == 3
    assert probe(town.far.namespace, "read", locations[2].path, "loop")["ok"]


REFUSALS = [
    (
        Segment("geneve", 5),
        1400,
        "networks of type geneve are not supported, only flat, vlan, vxlan",
    ),
    (
        Segment("flat", None, "physnet9"),
        1500,
        "the option physical_networks does not name physnet9",
    ),
    (Segment("flat", None, None), 1500, "its physical network is not known"),
    (FLAT, 9000, "its MTU is 9000, that of ext is 1500"),
    (VXLAN, 1500, "its MTU is 1500 and a tunnel needs 50 more, but that of tun is 1500"),
]


@pytest.mark.parametrize(("segment", "mtu", "why"), REFUSALS, ids=lambda value: str(value)[:40])
def test_what_is_not_reached_is_refused_before_anything_is_touched(
    town: Town, site: Site, segment: Segment, mtu: int, why: str
) -> None:
    server_id = str(uuid4())
    wanted = entries(site, server_id, segment, mtu)
    with pytest.raises(Refused, match=why) as refused:
        serving(town, site, wanted)
    assert (
        wanted[0].subnet.cidr in refused.value.message
        and wanted[0].subnet.neutron_net_id in refused.value.message
    )
    assert not namespaces.exists(town.driver.layout.server(server_id).namespace)
    with pytest.raises(Refused, match=why):
        update = NetworkInfoUpdate(current=[], added=wanted)
        town.host.do(
            lambda: town.driver.check_update_share_server_network_allocations(update, {}, [], [])
        )


def test_vlan_networks_are_refused_by_a_kernel_without_them(town: Town, site: Site) -> None:
    if has_kind("vlan"):
        pytest.skip("this kernel has VLAN interfaces")
    server_id = str(uuid4())
    with pytest.raises(Refused, match="the kernel lacks interfaces of the kind vlan"):
        serving(town, site, entries(site, server_id, VLAN))
    assert not namespaces.exists(town.driver.layout.server(server_id).namespace)


def test_machines_on_a_vlan_are_served(town: Town, site: Site) -> None:
    if not has_kind("vlan"):
        pytest.skip("this kernel has no VLAN interfaces (CONFIG_VLAN_8021Q)")
    (index,) = namespaces.inside(
        town.near.namespace, lambda links: links.link_lookup(ifname="eth0")
    )
    namespaces.inside(
        town.near.namespace,
        lambda links: links.link("add", ifname="eth0.7", kind="vlan", link=index, vlan_id=7),
    )
    town.near.configure("eth0.7", "10.7.0.20/24")
    _, share = served(town, site, entries(site, str(uuid4()), VLAN, at=["10.7.0.5/24"]))
    assert_served(town.near.namespace, share)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            {"physical_networks": "physnet1:nowhere"},
            "physnet1: this machine has no interface nowhere",
        ),
        ({"physical_networks": "physnet1:tun"}, "tun has addresses of this machine"),
        ({"physical_networks": "physnet1:tap"}, "tap is a port of something else"),
        ({"vxlan_local_address": "198.18.0.9"}, r"does not have the address 198\.18\.0\.9"),
    ],
    ids=str,
)
def test_what_the_machine_lacks_keeps_the_back_end_down(
    town: Town, options: dict[str, str], why: str
) -> None:
    with pytest.raises(Unavailable, match=why):
        town.host.do(
            linux_backend.successor(town.driver, **(OPTIONS | options)).check_for_setup_error
        )


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"physical_networks": "physnet1"}, "must be NAME:INTERFACE"),
        ({"physical_networks": "physnet1:ext,physnet2:ext"}, "twice"),
        ({"vxlan_remotes": "198.18.0.2"}, "vxlan_remotes needs vxlan_local_address"),
        ({"vxlan_local_address": "198.18.0.1"}, "either vxlan_remotes or vxlan_group"),
        (
            {"vxlan_local_address": "198.18.0.1", "vxlan_group": "198.18.0.2"},
            "one multicast address",
        ),
        ({"vxlan_local_address": "198.18.0.1", "vxlan_remotes": "fd00::1"}, "one IP version"),
        ({"vxlan_local_address": "here"}, "vxlan_local_address"),
        (
            {
                "vxlan_local_address": "198.18.0.1",
                "vxlan_remotes": "198.18.0.2",
                "vxlan_port": "none",
            },
            "must be a port number",
        ),
    ],
    ids=str,
)
def test_options_that_make_no_sense(options: dict[str, str], why: str) -> None:
    with pytest.raises(Unavailable, match=why):
        LinuxDriver("linux", options)
