"""Share servers of the Linux back end and their networks: each trap of the data plane has a test, with real NFS in both families.

What every driver must do is in the conformance suite; access rules and data are in `test_linux_shares.py`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pyroute2.netns
import pytest

from abaca.drivers.linux import mounts, namespaces, plugging, processes, routing
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.exports import ExportBus, export_ids
from abaca.drivers.linux.ganesha import GaneshaServer
from abaca.drivers.linux.inventory import leftovers
from abaca.errors import BackendError, Refused, Unavailable
from abaca.values import NetworkInfoUpdate, Share, ShareServer
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import Loop, client_namespace, probe
from tests.contracts.drivers.linux_site import Site, path, paths, routes_of

pytestmark = pytest.mark.root

BOTH = (("net", "10.0.0.5/24"), ("net", "fd00::5/64"))
CLIENT = ("10.0.0.20/24", "fd00::20/64")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LinuxDriver]:
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    driver = linux_backend.make_linux_driver(tmp_path_factory.mktemp("linux"))
    yield driver
    linux_backend.cleanup(driver)


@pytest.fixture
def site(driver: LinuxDriver) -> Iterator[Site]:
    site = Site(driver)
    yield site
    site.clear()


def assert_served(netns: str, share: Share) -> None:
    """Written and read by every location."""
    for number, location in enumerate(share.export_locations):
        text = f"by {location.path}"
        assert probe(netns, "write", location.path, f"file{number}", text)["ok"]
        assert probe(netns, "read", location.path, f"file{number}") == {"ok": True, "text": text}


def grow(site: Site, server: ShareServer, shares: list[Share], network: str, address: str) -> tuple[ShareServer, list[Share]]:
    """The server and its shares after one more subnet."""
    added = site.entry(server.id, network, address)
    update = NetworkInfoUpdate(current=server.network_info, added=[added])
    answer = site.driver.update_share_server_network_allocations(update, {}, shares, [])
    grown = msgspec.structs.replace(server, network_info=[*server.network_info, added])
    return grown, [msgspec.structs.replace(share, export_locations=answer.share_updates[share.id].export_locations) for share in shares]


# --- networks ----------------------------------------------------------------------------------------------------------


def test_both_families_are_served(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    assert paths(share.export_locations) == [f"10.0.0.5:/shares/{share.id}", f"[fd00::5]:/shares/{share.id}"]
    assert_served(site.client("client", "net", *CLIENT), share)


def test_networks_with_the_same_range_do_not_meet(site: Site) -> None:
    one, other = (site.server((network, "10.0.0.5/24"), (network, "fd00::5/64")) for network in ("net one", "net other"))
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
    assert not [route for route in routes_of(site.layout(server).namespace) if route.startswith("254 ")]


def test_two_ports_on_one_subnet_both_answer_for_themselves(site: Site) -> None:
    """ARP flux: by default the kernel answers for every address on every interface."""
    server = site.server(("net", "10.0.0.5/24"), ("net", "10.0.0.6/24"), ("net", "fd00::5/64"), ("net", "fd00::6/64"))
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    assert_served(netns, share)
    neighbours = namespaces.inside(netns, lambda links: {n.get("NDA_DST"): n.get("NDA_LLADDR") for n in links.get_neighbours()})
    for entry in server.network_info:
        assert neighbours[entry.network_allocations[0].ip_address] == entry.network_allocations[0].mac_address


def test_one_port_with_two_addresses(site: Site) -> None:
    server_id = "e0b6cd2c-3f4c-4d06-a9a1-0c3a8c4a9d11"
    addresses = ("10.0.0.5/24", "10.0.0.6/24", "fd00::5/64")
    server = site.set_up(server_id, [site.entry(server_id, "net", address, mac="fa:16:3e:aa:00:01") for address in addresses])
    assert len(site.port_names(server)) == 1
    assert_served(site.client("client", "net", *CLIENT), site.share(server))


def test_routed_clients_are_answered_on_every_subnet(site: Site) -> None:
    """Each subnet has its own router; the client behind both sends to each of the server's addresses through the router of that subnet."""
    server_id = "e0b6cd2c-3f4c-4d06-a9a1-0c3a8c4a9d12"
    entries = [
        site.entry(server_id, "left", "10.1.0.5/24", gateway="10.1.0.1"),
        site.entry(server_id, "left", "fd01::5/64", gateway="fd01::1"),
        site.entry(server_id, "right", "10.2.0.5/24", gateway="10.2.0.1"),
        site.entry(server_id, "right", "fd02::5/64", gateway="fd02::1"),
    ]
    share = site.share(site.set_up(server_id, entries))
    for side, number in (("left", 1), ("right", 2)):
        router = site.client(f"router {side}", side, f"10.{number}.0.1/24", f"fd0{number}::1/64")
        site.client(f"router {side}", f"beyond {side}", f"10.{number}0.0.1/24", f"fd{number}0::1/64")
        namespaces.inside(router, lambda _: namespaces.set_sysctl({"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}))
        far = site.client(
            f"far {side}", f"beyond {side}", f"10.{number}0.0.20/24", f"fd{number}0::20/64", gateways=[f"10.{number}0.0.1", f"fd{number}0::1"]
        )
        locations = [location for location in share.export_locations if f"10.{number}." in location.path or f"fd0{number}:" in location.path]
        assert_served(far, msgspec.structs.replace(share, export_locations=locations))


def test_links_have_the_mtu_of_their_subnet(site: Site) -> None:
    server_id = "e0b6cd2c-3f4c-4d06-a9a1-0c3a8c4a9d13"
    server = site.set_up(server_id, [site.entry(server_id, "net", "10.0.0.5/24", mtu=1400)])
    found = namespaces.inside(site.layout(server).namespace, lambda links: [link.get("mtu") for link in links.get_links(kind="veth")])
    assert found == [1400]


def test_a_server_never_forwards_between_its_networks(site: Site) -> None:
    """Whatever a namespace inherits from its host, and whoever changed it since."""
    server = site.server(*BOTH)
    for namespace in (site.layout(server).namespace, site.driver.layout.namespace):
        namespaces.inside(namespace, lambda _: namespaces.set_sysctl({"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}))
    site.driver.ensure_server(server, [])
    for namespace in (site.layout(server).namespace, site.driver.layout.namespace):
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            assert namespaces.inside(namespace, lambda _, name=name: Path("/proc/sys/net", name).read_text()) == "0\n"


def test_the_host_is_on_none_of_the_networks(site: Site) -> None:
    site.server(*BOTH)
    assert namespaces.inside(site.driver.layout.namespace, lambda links: [a.get("IFA_ADDRESS") for a in links.get_addr() if a["index"] != 1]) == []
    names = plugging.bridge_name(site.network_id("net"))
    assert not Path("/sys/class/net", names).exists()


def test_bridges_vanish_with_their_last_port(site: Site) -> None:
    server = site.server(("one", "10.0.0.5/24"), ("two", "10.0.1.5/24"))
    site.client("client", "one", "10.0.0.20/24")
    namespace = site.driver.layout.namespace
    bridges = {plugging.bridge_name(site.network_id(network)) for network in ("one", "two")}
    assert bridges <= set(leftovers(namespace, site.driver.layout.state_dir)["links"])
    site.driver.teardown_server(server.id, {})
    assert bridges & set(leftovers(namespace, site.driver.layout.state_dir)["links"]) == {plugging.bridge_name(site.network_id("one"))}
    site.clear()
    assert leftovers(namespace, site.driver.layout.state_dir)["links"] == []


@pytest.mark.parametrize("addresses", [("10.0.0.5/24", "10.0.0.9/24"), ("10.0.0.5/24", "10.0.0.200/25"), ("fd00::5/64", "fd00::9/96")])
def test_overlapping_subnets_of_two_networks_are_refused(site: Site, addresses: tuple[str, str]) -> None:
    server = site.server(("net", addresses[0]))
    added = msgspec.structs.replace(site.entry(server.id, "other", addresses[1]), network_allocations=[])
    with pytest.raises(Refused, match="overlaps"):
        site.driver.check_update_share_server_network_allocations(NetworkInfoUpdate(current=server.network_info, added=[added]), {}, [], [])
    same = msgspec.structs.replace(site.entry(server.id, "net", addresses[1]), network_allocations=[])
    assert site.driver.check_update_share_server_network_allocations(NetworkInfoUpdate(current=server.network_info, added=[same]), {}, [], [])


def test_a_failed_update_leaves_the_old_subnets_and_nothing_else(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    netns = site.client("client", "net", *CLIENT)
    before, ports = routes_of(site.layout(server).namespace), site.port_names(server)
    # The second one cannot be made: the kernel gives no interface a multicast address.
    added = [site.entry(server.id, "two", "10.20.0.5/24"), site.entry(server.id, "two", "fd00:b::5/64", mac="01:00:5e:00:00:01")]
    with Loop(netns, path(share), "loop") as loop, pytest.raises(BackendError):
        site.driver.update_share_server_network_allocations(NetworkInfoUpdate(current=server.network_info, added=added), {}, [share], [])
    assert loop.answer["error_count"] == 0, loop.answer
    assert (routes_of(site.layout(server).namespace), site.port_names(server)) == (before, ports)
    assert plugging.bridge_name(site.network_id("two")) not in leftovers(site.driver.layout.namespace, site.driver.layout.state_dir)["links"]
    assert_served(netns, share)


def test_namespaces_live_beside_those_of_other_tools(site: Site) -> None:
    """Whoever makes a namespace first makes their folder a mount of its own; after us, nobody does it again over ours."""
    server = site.server(*BOTH)
    if mounts.mount_at(namespaces.NETNS_ROOT) is None:
        pytest.skip(f"somebody had namespaces in {namespaces.NETNS_ROOT} before, without making it a mount")
    other = client_namespace(site.driver, "foreign")
    pyroute2.netns.create(other)
    try:
        assert site.layout(server).namespace in namespaces.names()
        site.driver.teardown_server(server.id, {})
        assert site.layout(server).namespace not in namespaces.names()
        assert other in namespaces.names()
    finally:
        pyroute2.netns.remove(other)


# --- life and death of servers -----------------------------------------------------------------------------------------


def test_ensuring_a_healthy_server_disturbs_nobody(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    before = processes.find(site.layout(server).ganesha_pid), routes_of(site.layout(server).namespace)
    with Loop(site.client("client", "net", *CLIENT), path(share), "loop") as loop:
        for _ in range(5):
            linux_backend.successor(site.driver).ensure_server(server, [share])
    assert loop.answer["error_count"] == 0, loop.answer
    assert (processes.find(site.layout(server).ganesha_pid), routes_of(site.layout(server).namespace)) == before


SET_UP_AND_DIE = """
import os, signal, sys, msgspec
from abaca.drivers.linux.driver import LinuxDriver
from abaca.values import NetworkInfo
driver = LinuxDriver(sys.argv[1], msgspec.json.decode(sys.argv[2], type=dict[str, str]))
driver.setup_server(sys.argv[3], msgspec.json.decode(sys.argv[4], type=list[NetworkInfo]))
os.killpg(0, signal.SIGKILL)
"""


def test_the_death_of_the_worker_interrupts_nobody(site: Site) -> None:
    server = site.server(*BOTH)
    site.driver.teardown_server(server.id, {})
    layout = site.driver.layout
    options = {"state_dir": str(layout.state_dir), "namespace": layout.namespace}
    arguments = [linux_backend.BACKEND_NAME, msgspec.json.encode(options).decode(), server.id, msgspec.json.encode(server.network_info).decode()]
    done = subprocess.run([sys.executable, "-c", SET_UP_AND_DIE, *arguments], start_new_session=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pids = processes.find(site.layout(server).ganesha_pid)
    assert pids
    share = site.share(server)
    assert_served(site.client("client", "net", *CLIENT), share)
    linux_backend.successor(site.driver).ensure_server(server, [share])
    assert processes.find(site.layout(server).ganesha_pid) == pids


def _kill_ganesha(site: Site, server: ShareServer, share: Share) -> None:
    os.kill(int(site.layout(server).ganesha_pid.read_text()), signal.SIGKILL)


def _kill_bus(site: Site, server: ShareServer, share: Share) -> None:
    os.kill(int(site.layout(server).bus_pid.read_text()), signal.SIGKILL)


def _stop_ganesha_from_answering(site: Site, server: ShareServer, share: Share) -> None:
    os.kill(int(site.layout(server).bus_pid.read_text()), signal.SIGKILL)
    site.layout(server).bus_socket.unlink()


def _recycle_process_number(site: Site, server: ShareServer, share: Share) -> None:
    _kill_ganesha(site, server, share)
    site.layout(server).ganesha_pid.write_text(str(os.getpid()))


def _lose_a_port(site: Site, server: ShareServer, share: Share) -> None:
    namespaces.inside(site.layout(server).namespace, lambda links: links.link("del", index=links.link_lookup(ifname=site.port_names(server)[0])[0]))


def _lose_all_bridges(site: Site, server: ShareServer, share: Share) -> None:
    name = plugging.bridge_name(site.network_id("net"))
    namespaces.inside(site.driver.layout.namespace, lambda links: links.link("del", index=links.link_lookup(ifname=name)[0]))


def _take_links_down(site: Site, server: ShareServer, share: Share) -> None:
    """With the link go its routes."""
    namespaces.inside(
        site.layout(server).namespace, lambda links: [links.link("set", index=link["index"], state="down") for link in links.get_links()]
    )


def _lose_addresses(site: Site, server: ShareServer, share: Share) -> None:
    routing.remove_addresses(site.layout(server).namespace, routing.addresses_of(site.layout(server).namespace))


def _lose_rules(site: Site, server: ShareServer, share: Share) -> None:
    namespaces.inside(
        site.layout(server).namespace, lambda links: [links.flush_rules(family=family, priority=routing.RULE_PRIORITY) for family in (2, 10)]
    )


def _unmount(site: Site, server: ShareServer, share: Share) -> None:
    mounts.unmount(site.layout(server).mount_point(share.id))


def _mount_something_else(site: Site, server: ShareServer, share: Share) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(site.layout(server).mount_point(share.id))], check=True)


def _lose_export_file(site: Site, server: ShareServer, share: Share) -> None:
    site.layout(server).export_file(share.id).unlink()


def _withdraw_export(site: Site, server: ShareServer, share: Share) -> None:
    ExportBus(site.layout(server).bus_socket).remove(export_ids(site.layout(server))[share.id])


def _lose_namespace_name(site: Site, server: ShareServer, share: Share) -> None:
    """Its processes live on in the namespace that no one can enter by name."""
    namespaces.remove(site.layout(server).namespace)


def _lose_run_folder(site: Site, server: ShareServer, share: Share) -> None:
    subprocess.run(["rm", "-r", str(site.layout(server).run)], check=True)


DAMAGES: list[Callable[[Site, ShareServer, Share], None]] = [
    _kill_ganesha,
    _kill_bus,
    _stop_ganesha_from_answering,
    _recycle_process_number,
    _lose_a_port,
    _lose_all_bridges,
    _take_links_down,
    _lose_addresses,
    _lose_rules,
    _unmount,
    _mount_something_else,
    _lose_export_file,
    _withdraw_export,
    _lose_namespace_name,
    _lose_run_folder,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_ensuring_repairs(site: Site, damage: Callable[[Site, ShareServer, Share], None]) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    (site.driver.pool.path(share.id) / "kept").write_text("before")  # not by NFS: a client on record makes a new Ganesha wait for it
    damage(site, server, share)
    linux_backend.successor(site.driver).ensure_server(server, [share])
    netns = site.client("client", "net", *CLIENT)
    assert probe(netns, "read", path(share), "kept") == {"ok": True, "text": "before"}
    assert_served(netns, share)
    assert len(mounts.mounts_below(site.layout(server).mount_point(share.id))) == 1


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_teardown_of_what_is_half_there(site: Site, damage: Callable[[Site, ShareServer, Share], None]) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    damage(site, server, share)
    for _ in range(2):
        linux_backend.successor(site.driver).teardown_server(server.id, {})
    site.driver.delete_share(share, server)
    found = leftovers(site.driver.layout.namespace, site.driver.layout.state_dir)
    assert (found["links"], found["processes"], found["exports"], found["subvolumes"]) == ([], [], [], [])
    assert found["namespaces"] == [site.driver.layout.namespace]


def test_ensuring_takes_away_what_is_not_described(site: Site) -> None:
    """An update that was interrupted and undone, a share that is deleted: neither is served any longer, data that was not deleted stays."""
    server = site.server(*BOTH)
    kept, gone = site.share(server), site.share(server)
    grow(site, server, [kept], "two", "10.20.0.5/24")
    site.driver.ensure_server(server, [kept])
    netns = site.client("client", "net", *CLIENT)
    assert_served(netns, kept)
    assert not probe(netns, "mount", path(gone))["ok"]
    assert site.driver.pool.has(gone.id)
    assert len(site.port_names(server)) == 2


def test_ensuring_tells_of_lost_data_after_repairing_the_rest(site: Site) -> None:
    server = site.server(*BOTH)
    kept, lost = site.share(server), site.share(server)
    site.driver.delete_share(lost, server)
    _kill_ganesha(site, server, kept)
    with pytest.raises(Refused, match=lost.id):
        site.driver.ensure_server(server, [kept, lost])
    assert_served(site.client("client", "net", *CLIENT), kept)


def test_a_reboot_loses_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    driver = linux_backend.make_linux_driver(tmp_path_factory.mktemp("reboot"))
    try:
        site = Site(driver)
        server = site.server(*BOTH)
        shares = [site.share(server), site.share(server)]
        netns = site.client("client", "net", *CLIENT)
        for share in shares:
            assert probe(netns, "write", path(share), "kept", share.id)["ok"]
        site.driver = linux_backend.lose_everything(driver)
        assert leftovers(driver.layout.namespace, driver.layout.state_dir)["processes"] == []
        site.driver.check_for_setup_error()
        site.driver.ensure_server(server, shares)
        netns = site.client("client", "net", *CLIENT)
        for share in shares:
            assert probe(netns, "read", path(share), "kept") == {"ok": True, "text": share.id}
            assert_served(netns, share)
    finally:
        linux_backend.cleanup(driver)


def test_ganesha_has_nothing_to_complain_about_in_its_configuration(site: Site) -> None:
    server = site.server(*BOTH)
    site.share(server)
    _kill_ganesha(site, server, site.share(server))
    site.driver.ensure_server(server, [])
    complaints = [line for line in site.layout(server).log.read_text().splitlines() if "config_errs_to_log" in line or "Errors found" in line]
    assert complaints == []


def test_a_ganesha_that_does_not_start_is_told_with_its_log(site: Site) -> None:
    server = site.server(*BOTH)
    ganesha = GaneshaServer(site.layout(server))
    ganesha.stop()
    taken = namespaces.inside(site.layout(server).namespace, lambda _: socket.create_server(("::", 2049), family=socket.AF_INET6))
    with taken, pytest.raises(Unavailable, match="bind"):
        site.driver.ensure_server(server, [])
    site.driver.ensure_server(server, [])
    assert ganesha.is_healthy()


def test_what_fails_with_one_share_keeps_no_other_from_being_served(site: Site) -> None:
    server = site.server(*BOTH)
    shares = [site.share(server) for _ in range(3)]
    broken = sorted(shares, key=lambda share: share.id)[0]
    site.driver.teardown_server(server.id, {})
    site.driver.setup_server(server.id, server.network_info)
    site.layout(server).prepare()
    site.layout(server).mount_point(broken.id).write_text("a file where a folder should be")
    with pytest.raises(BackendError):
        site.driver.ensure_server(server, sorted(shares, key=lambda share: share.id))
    netns = site.client("client", "net", *CLIENT)
    for share in shares:
        assert probe(netns, "mount", path(share))["ok"] == (share is not broken)
    site.layout(server).mount_point(broken.id).unlink()
    site.driver.ensure_server(server, shares)
    assert_served(netns, broken)


def test_nothing_is_written_below_a_folder_of_another_user(tmp_path: Path) -> None:
    if reason := linux_backend.unavailable_reason():
        pytest.skip(reason)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    os.chown(foreign, 65534, 65534)
    driver = LinuxDriver("linux", {"state_dir": str(foreign / "state"), "namespace": client_namespace(linux_backend.LinuxDriver("x", {}), "none")})
    with pytest.raises(Unavailable, match="foreign"):
        driver.check_for_setup_error()
    assert list(foreign.iterdir()) == []
