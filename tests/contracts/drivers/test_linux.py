"""Networks of the Linux back end: each trap of the data plane has a test, with real NFS in both
families.

What every driver must do is in the conformance suite; life and death of servers is in
`test_linux_servers.py`, access rules and data in `test_linux_shares.py`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import pyroute2.netns
import pytest

from abaca.drivers.linux import mounts, namespaces
from abaca.drivers.linux.inventory import leftovers
from abaca.drivers.linux.wires import plugging
from abaca.errors import BackendError, Refused
from abaca.values import NetworkInfoUpdate
from tests.contracts.drivers.linux_backend import Loop, client_namespace, probe
from tests.contracts.drivers.linux_site import (
    BOTH,
    CLIENT,
    Site,
    assert_served,
    grow,
    path,
    paths,
    routes_of,
)

pytestmark = [pytest.mark.root, pytest.mark.sampled(4)]


def test_both_families_are_served(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    assert paths(share.export_locations) == [
        f"10.0.0.5:/shares/{share.id}",
        f"[fd00::5]:/shares/{share.id}",
    ]
    assert_served(site.client("client", "net", *CLIENT), share)


def test_networks_with_the_same_range_do_not_meet(site: Site) -> None:
    one, other = (
        site.server((network, "10.0.0.5/24"), (network, "fd00::5/64"))
        for network in ("net one", "net other")
    )
    shares = [site.share(one), site.share(other)]
    clients = [site.client("one", "net one", *CLIENT), site.client("other", "net other", *CLIENT)]
    for netns, share, foreign in zip(clients, shares, reversed(shares), strict=True):
        assert_served(netns, share)
        for number in (0, 1):
            assert not probe(netns, "mount", path(foreign, number))["ok"]
        assert probe(netns, "mount", path(share))["names"] == ["file0", "file1"]


def test_a_new_subnet_interrupts_nobody_and_changes_no_route(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    before = routes_of(site.layout(server).namespace)
    with Loop(netns, path(share, 0), "four") as four, Loop(netns, path(share, 1), "six") as six:
        grown, [share] = grow(site, server, [share], "net two", "10.20.0.5/24")
        grown, [share] = grow(site, grown, [share], "net two", "fd00:b::5/64")
        assert_served(
            site.client("client two", "net two", "10.20.0.20/24", "fd00:b::20/64"),
            msgspec.structs.replace(share, export_locations=share.export_locations[2:]),
        )
    assert set(before) <= set(routes_of(site.layout(server).namespace))
    for loop in (four, six):
        assert loop.answer["error_count"] == 0, loop.answer
        assert loop.answer["rounds"] > 5
    assert [location.preferred for location in share.export_locations] == [True, True, False, False]


def test_the_kernels_own_routing_table_stays_empty(site: Site) -> None:
    """A connected route there would send one subnet's replies by another's interface."""
    server = site.server(*BOTH, ("other", "10.0.1.5/24"))
    assert not [
        route for route in routes_of(site.layout(server).namespace) if route.startswith("254 ")
    ]


def test_two_ports_on_one_subnet_both_answer_for_themselves(site: Site) -> None:
    """ARP flux: by default the kernel answers for every address on every interface."""
    server = site.server(
        ("net", "10.0.0.5/24"), ("net", "10.0.0.6/24"), ("net", "fd00::5/64"), ("net", "fd00::6/64")
    )
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    assert_served(netns, share)
    neighbours = namespaces.inside(
        netns, lambda links: {n.get("NDA_DST"): n.get("NDA_LLADDR") for n in links.get_neighbours()}
    )
    for entry in server.network_info:
        assert (
            neighbours[entry.network_allocations[0].ip_address]
            == entry.network_allocations[0].mac_address
        )


def test_one_port_with_two_addresses(site: Site) -> None:
    server_id = "e0b6cd2c-3f4c-4d06-a9a1-0c3a8c4a9d11"
    addresses = ("10.0.0.5/24", "10.0.0.6/24", "fd00::5/64")
    server = site.set_up(
        server_id,
        [site.entry(server_id, "net", address, mac="fa:16:3e:aa:00:01") for address in addresses],
    )
    assert len(site.port_names(server)) == 1
    assert_served(site.client("client", "net", *CLIENT), site.share(server))


def test_routed_clients_are_answered_on_every_subnet(site: Site) -> None:
    """Each subnet has its own router; the client behind both sends to each of the server's
    addresses through the router of that subnet."""
    server_id = "e0b6cd2c-3f4c-4d06-a9a1-0c3a8c4a9d12"
    entries = [
        site.entry(server_id, "left", "10.1.0.5/24", gateway="10.1.0.1"),
        site.entry(server_id, "left", "fd01::5/64", gateway="fd01::1"),
        site.entry(server_id, "right", "10.2.0.5/24", gateway="10.2.0.1"),
        site.entry(server_id, "right", "fd02::5/64", gateway="fd02::1"),
    ]
    share = site.share(site.set_up(server_id, entries))
    for side, number in (("left", 1), ("right", 2)):
        router = site.client(
            f"router {side}", side, f"10.{number}.0.1/24", f"fd0{number}::1/64", forwards=True
        )
        site.client(
            f"router {side}",
            f"beyond {side}",
            f"10.{number}0.0.1/24",
            f"fd{number}0::1/64",
            forwards=True,
        )
        namespaces.inside(
            router,
            lambda _: namespaces.set_sysctl(
                {"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}
            ),
        )
        far = site.client(
            f"far {side}",
            f"beyond {side}",
            f"10.{number}0.0.20/24",
            f"fd{number}0::20/64",
            gateways=[f"10.{number}0.0.1", f"fd{number}0::1"],
        )
        locations = [
            location
            for location in share.export_locations
            if f"10.{number}." in location.path or f"fd0{number}:" in location.path
        ]
        assert_served(far, msgspec.structs.replace(share, export_locations=locations))


def test_links_have_the_mtu_of_their_subnet(site: Site) -> None:
    server_id = "e0b6cd2c-3f4c-4d06-a9a1-0c3a8c4a9d13"
    server = site.set_up(server_id, [site.entry(server_id, "net", "10.0.0.5/24", mtu=1400)])
    found = namespaces.inside(
        site.layout(server).namespace,
        lambda links: [link.get("mtu") for link in links.get_links(kind="veth")],
    )
    assert found == [1400]


def setting(name: str, _: object) -> str:
    return Path("/proc/sys/net", name).read_text()


def test_a_server_never_forwards_between_its_networks(site: Site) -> None:
    """Whatever a namespace inherits from its host, and whoever changed it since."""
    server = site.server(*BOTH)
    for namespace in (site.layout(server).namespace, site.driver.layout.namespace):
        namespaces.inside(
            namespace,
            lambda _: namespaces.set_sysctl(
                {"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}
            ),
        )
    site.driver.ensure_server(server, [])
    for namespace in (site.layout(server).namespace, site.driver.layout.namespace):
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            assert namespaces.inside(namespace, partial(setting, name)) == "0\n"


def test_the_host_is_on_none_of_the_networks(site: Site) -> None:
    site.server(*BOTH)
    assert (
        namespaces.inside(
            site.driver.layout.namespace,
            lambda links: [a.get("IFA_ADDRESS") for a in links.get_addr() if a["index"] != 1],
        )
        == []
    )
    names = plugging.bridge_name(site.network_id("net"))
    assert not Path("/sys/class/net", names).exists()


def test_bridges_vanish_with_their_last_port(site: Site) -> None:
    server = site.server(("one", "10.0.0.5/24"), ("two", "10.0.1.5/24"))
    site.client("client", "one", "10.0.0.20/24")
    namespace = site.driver.layout.namespace
    bridges = {plugging.bridge_name(site.network_id(network)) for network in ("one", "two")}
    assert bridges <= set(leftovers(namespace, site.driver.layout.state_dir)["links"])
    site.driver.teardown_server(server.id, {})
    assert bridges & set(leftovers(namespace, site.driver.layout.state_dir)["links"]) == {
        plugging.bridge_name(site.network_id("one"))
    }
    site.clear()
    assert leftovers(namespace, site.driver.layout.state_dir)["links"] == []


def test_the_bridges_of_a_server_vanish_together(site: Site) -> None:
    server = site.server(*((f"net{number}", f"10.0.{number}.5/24") for number in range(3)))
    site.driver.teardown_server(server.id, {})
    assert leftovers(site.driver.layout.namespace, site.driver.layout.state_dir)["links"] == []


@pytest.mark.parametrize(
    "addresses",
    [
        ("10.0.0.5/24", "10.0.0.9/24"),
        ("10.0.0.5/24", "10.0.0.200/25"),
        ("fd00::5/64", "fd00::9/96"),
    ],
)
def test_overlapping_subnets_of_two_networks_are_refused(
    site: Site, addresses: tuple[str, str]
) -> None:
    server = site.server(("net", addresses[0]))
    added = msgspec.structs.replace(
        site.entry(server.id, "other", addresses[1]), network_allocations=[]
    )
    with pytest.raises(Refused, match="overlaps"):
        site.driver.check_update_share_server_network_allocations(
            NetworkInfoUpdate(current=server.network_info, added=[added]), {}, [], []
        )
    same = msgspec.structs.replace(
        site.entry(server.id, "net", addresses[1]), network_allocations=[]
    )
    assert site.driver.check_update_share_server_network_allocations(
        NetworkInfoUpdate(current=server.network_info, added=[same]), {}, [], []
    )


def test_a_failed_update_leaves_the_old_subnets_and_nothing_else(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    before, ports = routes_of(site.layout(server).namespace), site.port_names(server)
    # The second one cannot be made: the kernel gives no interface a multicast address.
    added = [
        site.entry(server.id, "two", "10.20.0.5/24"),
        site.entry(server.id, "two", "fd00:b::5/64", mac="01:00:5e:00:00:01"),
    ]
    with Loop(netns, path(share), "loop") as loop, pytest.raises(BackendError):
        site.driver.update_share_server_network_allocations(
            NetworkInfoUpdate(current=server.network_info, added=added), {}, [share], []
        )
    assert loop.answer["error_count"] == 0, loop.answer
    assert (routes_of(site.layout(server).namespace), site.port_names(server)) == (before, ports)
    assert (
        plugging.bridge_name(site.network_id("two"))
        not in leftovers(site.driver.layout.namespace, site.driver.layout.state_dir)["links"]
    )
    assert_served(netns, share)


def test_namespaces_live_beside_those_of_other_tools(site: Site) -> None:
    """Whoever makes a namespace first makes their folder a mount of its own; after us, nobody does
    it again over ours."""
    server = site.server(*BOTH)
    if mounts.mount_at(namespaces.NETNS_ROOT) is None:
        pytest.skip(
            f"somebody had namespaces in {namespaces.NETNS_ROOT} before, without making it a mount"
        )
    other = client_namespace(site.driver, "foreign")
    pyroute2.netns.create(other)
    try:
        assert site.layout(server).namespace in namespaces.names()
        site.driver.teardown_server(server.id, {})
        assert site.layout(server).namespace not in namespaces.names()
        assert other in namespaces.names()
    finally:
        pyroute2.netns.remove(other)
