"""Subnets taken from a share server in use: they are gone, their clients are told, nobody else
notices anything; killed or failing anywhere, what is asked next is what comes of it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import msgspec
import pytest

from abaca.drivers.linux import namespaces, routing
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error
from abaca.drivers.linux.file_services.nfs.xdr import Malformed
from abaca.drivers.linux.inventory import leftovers
from abaca.drivers.linux.layout import run_path
from abaca.drivers.linux.programs import run
from abaca.drivers.linux.wires import plugging
from abaca.drivers.linux.wires.port_security import FAMILY, TABLE
from abaca.errors import BackendError, Refused
from abaca.values import NetworkInfo, NetworkInfoUpdate, SecurityService, Share, ShareServer
from tests.contracts.drivers import linux_backend
from tests.contracts.drivers.linux_backend import Loop
from tests.contracts.drivers.linux_site import (
    BOTH,
    CLIENT,
    Site,
    assert_served,
    grow,
    path,
    paths,
    routes_of,
    shrink,
)
from tests.nfs4.client import Client, Client40, Client41, patiently
from tests.nfs4.connection import connect
from tests.sample import sample
from tests.stack import wait_for

pytestmark = [pytest.mark.sampled_file(8), pytest.mark.root, pytest.mark.timeout(300)]

LATER = (("two", "10.20.0.5/24"), ("two", "fd00:b::5/64"))
LATER_CLIENT = ("10.20.0.20/24", "fd00:b::20/64")
AT_MOST = 120.0  # seconds until a lease of ten is over, on a machine that is busy


def address_of(entry: NetworkInfo) -> str:
    return entry.network_allocations[0].ip_address


def folder(share: Share) -> str:
    return path(share).split(":", 1)[1]


def is_answered(netns: str, address: str) -> bool:
    with suppress(OSError), connect(netns, address, patience=1.0):
        return True
    return False


def connected(site: Site, server: ShareServer) -> set[str]:
    """The server's addresses by which somebody is connected."""
    listed = namespaces.inside(
        site.layout(server).namespace, lambda _: run("ss", "-Htan", "state", "connected")
    )
    ends = [line.split()[3].rpartition(":")[0].strip("[]") for line in listed.splitlines()]
    return {end.removeprefix("::ffff:") for end in ends}


@contextmanager
def undisturbed(netns: str, *locations: str) -> Iterator[None]:
    """Clients that write and read by these meet no error while the block runs."""
    loops = [Loop(netns, location, f"loop{number}") for number, location in enumerate(locations)]
    with ExitStack() as working:
        for loop in loops:
            working.enter_context(loop)
        yield
    for loop in loops:
        assert loop.answer["error_count"] == 0, loop.answer
        assert loop.answer["rounds"] > 0


def is_reset(client: Client) -> bool:
    """Whether its idle connection has been ended by a reset, of which it is told without asking."""
    client.link.link.settimeout(AT_MOST)
    try:
        client.link.link.recv(1)
    except ConnectionResetError:
        return True
    except TimeoutError:
        pass
    return False


def test_a_removed_subnet_is_gone_and_nobody_else_notices(site: Site) -> None:
    server = site.server(*BOTH)
    share, before = site.share(server), routes_of(site.layout(server).namespace)
    for later in LATER:
        server, [share] = grow(site, server, [share], *later)
    here, there = site.client("here", "net", *CLIENT), site.client("there", "two", *LATER_CLIENT)
    stays = {address_of(entry) for entry in server.network_info[:2]}
    with Client41(here, "10.0.0.5") as holds, undisturbed(here, path(share, 0), path(share, 1)):
        file = patiently(lambda: holds.open(holds.handle_of(folder(share)), "held", create=True))
        holds.lock(file)
        shrunk, [share] = shrink(site, server, [share], server.network_info[2:])
        holds.write(file, 0, b"by the connection that it had")
        assert holds.read(file) == b"by the connection that it had"
    assert routes_of(site.layout(server).namespace) == before
    assert routing.addresses_of(site.layout(server).namespace) == stays
    assert len(site.port_names(server)) == 2
    assert paths(share.export_locations) == [
        f"10.0.0.5:/shares/{share.id}",
        f"[fd00::5]:/shares/{share.id}",
    ]
    assert shrunk.backend_details["ip_addresses"] == "10.0.0.5,fd00::5"
    for entry in server.network_info[2:]:
        assert not is_answered(there, address_of(entry))
    assert_served(here, share)
    site.driver.ensure_server(shrunk, [share])
    assert routing.addresses_of(site.layout(server).namespace) == stays


def test_the_bridge_of_a_removed_subnet_vanishes_unless_somebody_else_is_on_it(site: Site) -> None:
    server = site.server(*BOTH, *LATER)
    bridge = plugging.bridge_name(site.network_id("two"))

    def links() -> list[str]:
        return leftovers(site.driver.layout.namespace, site.driver.layout.state_dir)["links"]

    server, _ = shrink(site, server, [], server.network_info[2:3])
    assert bridge in links()
    shrink(site, server, [], server.network_info[2:])
    assert bridge not in links()


@pytest.mark.parametrize("number", [2, 3], ids=["IPv4", "IPv6"])
def test_clients_of_the_removed_address_are_told_at_once(site: Site, number: int) -> None:
    """By a reset, without asking: an idle one, too. Afterwards nobody is there who could answer."""
    server = site.server(*BOTH, *LATER)
    share = site.share(server)
    there, removed = site.client("there", "two", *LATER_CLIENT), server.network_info[number]
    (other,) = (entry for entry in server.network_info[2:] if entry is not removed)
    with Client41(there, address_of(removed)) as goes, Client41(there, address_of(other)) as stays:
        assert {address_of(removed), address_of(other)} <= connected(site, server)
        shrink(site, server, [share], [removed])
        assert is_reset(goes)
        stays.renew()
        assert address_of(removed) not in connected(site, server)
        assert not is_answered(there, address_of(removed))
        goes.files.clear()


@pytest.mark.parametrize("goes", [0, 1], ids=["IPv4 goes", "IPv6 goes"])
def test_one_family_of_a_port_goes_and_the_other_stays(site: Site, goes: int) -> None:
    """What the port may send as follows; the client that is told is told with the address that
    goes."""
    server_id = "e0b6cd2c-3f4c-4d06-a9a1-0c3a8c4a9d14"
    entries = [
        site.entry(server_id, "net", address, mac="fa:16:3e:aa:00:02", mtu=mtu)
        for address, mtu in (("10.0.0.5/24", 1400), ("fd00::5/64", 1450))
    ]
    server = site.set_up(server_id, entries)
    share, ports = site.share(server), site.port_names(server)
    netns, former = site.client("client", "net", *CLIENT), address_of(entries[goes])
    with undisturbed(netns, path(share, 1 - goes)), Client41(netns, former) as client:
        shrink(site, server, [share], [entries[goes]])
        assert is_reset(client)
    assert site.port_names(server) == ports
    assert not is_answered(netns, former)
    body = namespaces.inside(
        site.driver.layout.namespace, lambda _: run("nft", "list", "table", FAMILY, TABLE)
    )
    assert f"saddr {former}" not in body and f"daddr {former}" not in body
    assert f"saddr {address_of(entries[1 - goes])}" in body


def test_one_of_two_addresses_on_the_same_subnet_goes(site: Site) -> None:
    server = site.server(("net", "10.0.0.5/24"), ("net", "10.0.0.6/24"))
    share, netns = site.share(server), site.client("client", "net", *CLIENT)
    with undisturbed(netns, path(share, 1)):
        _, [share] = shrink(site, server, [share], server.network_info[:1])
    assert paths(share.export_locations) == [f"10.0.0.6:/shares/{share.id}"]
    assert not is_answered(netns, "10.0.0.5")
    assert_served(netns, share)


def test_the_oldest_subnet_goes(site: Site) -> None:
    """With the router of its own; the others are preferred then, and answer by their own router."""
    server_id = "e0b6cd2c-3f4c-4d06-a9a1-0c3a8c4a9d15"
    entries = [
        site.entry(server_id, "old", "10.1.0.5/24", gateway="10.1.0.1"),
        site.entry(server_id, "old", "fd01::5/64", gateway="fd01::1"),
        site.entry(server_id, "new", "10.2.0.5/24", gateway="10.2.0.1"),
        site.entry(server_id, "new", "fd02::5/64", gateway="fd02::1"),
    ]
    server = site.set_up(server_id, entries)
    share = site.share(server)
    snapshot = site.snapshot(share, server, is_mountable=True)
    router = site.client("router", "new", "10.2.0.1/24", "fd02::1/64", forwards=True)
    site.client("router", "beyond", "10.20.0.1/24", "fd20::1/64", forwards=True)
    namespaces.inside(
        router,
        lambda _: namespaces.set_sysctl({"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}),
    )
    far = site.client(
        "far", "beyond", "10.20.0.20/24", "fd20::20/64", gateways=["10.20.0.1", "fd20::1"]
    )
    update = NetworkInfoUpdate(current=entries[2:], added=[], removed=entries[:2])
    with undisturbed(far, path(share, 2), path(share, 3)):
        answer = site.driver.update_share_server_network_allocations(
            update, {}, [share], [snapshot]
        )
    locations = answer.share_updates[share.id].export_locations or []
    assert [(location.path.split(":/")[0], location.preferred) for location in locations] == [
        ("10.2.0.5", True),
        ("[fd02::5]", True),
    ]
    of_snapshot = answer.snapshot_updates[snapshot.id].export_locations or []
    assert paths(of_snapshot) == [
        location.replace(f"/shares/{share.id}", f"/snapshots/{snapshot.id}")
        for location in paths(locations)
    ]
    assert_served(far, msgspec.structs.replace(share, export_locations=locations))


@pytest.mark.parametrize("version", [Client40, Client41])
def test_what_clients_of_the_removed_subnet_held_is_free_when_their_lease_is_over(
    site: Site, version: Callable[..., Client]
) -> None:
    server = site.server(*BOTH, *LATER)
    share = site.share(server)
    here, there = site.client("here", "net", *CLIENT), site.client("there", "two", *LATER_CLIENT)
    with version(here, "10.0.0.5") as stays, version(there, "10.20.0.5") as goes:
        held = patiently(lambda: goes.open(goes.handle_of(folder(share)), "file", create=True))
        goes.lock(held)
        file = stays.open(stays.handle_of(folder(share)), "file")
        shrink(site, server, [share], server.network_info[2:])
        goes.files.clear()

        def is_free() -> bool:
            with suppress(OSError, Malformed):
                stays.renew()
            try:
                stays.lock(file)
            except Nfs4Error as error:
                assert error.name == "DENIED"
                return False
            return True

        wait_for(is_free, AT_MOST)


def test_the_last_subnet_is_not_removed(site: Site) -> None:
    server = site.server(*BOTH)
    share = site.share(server)
    update = NetworkInfoUpdate(current=[], added=[], removed=server.network_info)
    for ask in (
        site.driver.check_update_share_server_network_allocations,
        site.driver.update_share_server_network_allocations,
    ):
        with pytest.raises(Refused, match="needs a subnet"):
            ask(update, {}, [share], [])
    assert_served(site.client("client", "net", *CLIENT), share)


def test_a_check_changes_nothing(site: Site) -> None:
    server = site.server(*BOTH, *LATER)
    share, before = site.share(server), routes_of(site.layout(server).namespace)
    update = NetworkInfoUpdate(
        current=server.network_info[:2], added=[], removed=server.network_info[2:]
    )
    with Client41(site.client("there", "two", *LATER_CLIENT), "10.20.0.5") as client:
        assert site.driver.check_update_share_server_network_allocations(update, {}, [share], [])
        client.renew()
    assert routes_of(site.layout(server).namespace) == before


def test_a_directory_that_only_the_removed_family_reaches_keeps_it(site: Site) -> None:
    """Such a server could never be ensured again. Where it can still be asked, it is asked from an
    address that stays, be it up or not."""
    server = site.server(*BOTH, *LATER)
    ldap = SecurityService(
        id="2b6f0cc9-04d1-4f65-9b2e-27bb1f1b64f6",
        type="ldap",
        server="10.20.0.77",
        domain="example.org",
    )
    known = [
        msgspec.structs.replace(entry, security_services=[ldap]) for entry in server.network_info
    ]
    site.driver.ensure_server(msgspec.structs.replace(server, network_info=known), [])
    rc = site.layout(server).ldap / ldap.id / "ldaprc"
    assert "SOCKET_BIND_ADDRESSES 10.20.0.5\n" in rc.read_text()
    four = [entry for entry in known if entry.subnet.ip_version == 4]
    six = [entry for entry in known if entry.subnet.ip_version == 6]
    with pytest.raises(Refused, match=r"10\.20\.0\.77 .* no IPv4 address"):
        site.driver.check_update_share_server_network_allocations(
            NetworkInfoUpdate(current=six, added=[], removed=four), {}, [], []
        )
    shrunk, _ = shrink(site, msgspec.structs.replace(server, network_info=known), [], known[2:])
    assert "SOCKET_BIND_ADDRESSES 10.0.0.5\n" in rc.read_text()
    site.driver.ensure_server(shrunk, [])


# --- ends in the middle ---------------------------------------------------------------------------

MOMENTS, SURELY = range(1, 25), 8
DIE_IN_AN_UPDATE = """
import os, signal, sys, msgspec
from abaca.drivers.linux import namespaces
from abaca.drivers.linux.driver import LinuxDriver
from abaca.values import NetworkInfoUpdate
driver = LinuxDriver(sys.argv[1], msgspec.json.decode(sys.argv[2], type=dict[str, str]))
inside, left = namespaces.inside, int(sys.argv[4])
def counted(name, act):
    global left
    left -= 1
    if left == 0:
        os.killpg(0, signal.SIGKILL)
    return inside(name, act)
namespaces.inside = counted
update = msgspec.json.decode(sys.argv[3], type=NetworkInfoUpdate)
driver.update_share_server_network_allocations(update, {}, [], [])
"""
"""Before it enters a network namespace for the nth time, as it does for all that it changes."""


def test_killed_anywhere_what_is_asked_next_comes_of_it(site: Site) -> None:
    """The same removal again, the server without those subnets, or with them as before. Others work
    all the while."""
    server = site.server(*BOTH, *LATER)
    share, layout = site.share(server), site.driver.layout
    here, there = site.client("here", "net", *CLIENT), site.client("there", "two", *LATER_CLIENT)
    stays, goes = server.network_info[:2], server.network_info[2:]
    shrunk = msgspec.structs.replace(server, network_info=stays)
    options = {"state_dir": str(layout.state_dir), "namespace": layout.namespace}
    update = NetworkInfoUpdate(current=stays, added=[], removed=goes)
    arguments = [
        linux_backend.BACKEND_NAME,
        msgspec.json.encode(options).decode(),
        msgspec.json.encode(update).decode(),
    ]
    ways = (
        lambda driver: driver.update_share_server_network_allocations(update, {}, [share], []),
        lambda driver: driver.ensure_server(shrunk, [share]),
        lambda driver: driver.ensure_server(server, [share]),
    )
    with undisturbed(here, path(share, 0), path(share, 1)):
        for number, moment in enumerate(sample(MOMENTS, one_of=8)):
            command = [sys.executable, "-c", DIE_IN_AN_UPDATE, *arguments, str(moment)]
            done = subprocess.run(command, start_new_session=True, check=False)
            assert done.returncode == (-signal.SIGKILL if moment <= SURELY else done.returncode)
            ways[number % 3](linux_backend.successor(site.driver))
            if number % 3 < 2:
                assert routing.addresses_of(site.layout(server).namespace) == set(
                    map(address_of, stays)
                )
                assert len(site.port_names(server)) == 2
                assert not is_answered(there, address_of(goes[0]))
                site.driver.ensure_server(server, [share])
            for entry in goes:
                wait_for(partial(is_answered, there, address_of(entry)), AT_MOST)


def test_a_removal_that_fails_leaves_the_server_serving(site: Site) -> None:
    """Here on a port that cannot be unplugged. What is asked next comes of it, too."""
    server = site.server(*BOTH, *LATER)
    share = site.share(server)
    here, there = site.client("here", "net", *CLIENT), site.client("there", "two", *LATER_CLIENT)
    lock = run_path(site.driver.layout.namespace) / "plugging.lock"
    lock.unlink()
    lock.mkdir()
    try:
        with undisturbed(here, path(share, 0), path(share, 1)), pytest.raises(BackendError):
            shrink(site, server, [share], server.network_info[2:])
    finally:
        lock.rmdir()
    site.driver.ensure_server(server, [share])
    assert_served(here, msgspec.structs.replace(share, export_locations=share.export_locations[:2]))
    assert_served(
        there, msgspec.structs.replace(share, export_locations=share.export_locations[2:])
    )
    shrunk, [share] = shrink(site, server, [share], server.network_info[2:])
    assert len(site.port_names(shrunk)) == 2
    assert_served(here, share)


def test_a_removal_that_fails_lets_the_former_clients_come_back(site: Site) -> None:
    """Where what stays cannot be brought in order: they serve as before, without being ensured."""
    server = site.server(*BOTH, *LATER)
    share = site.share(server)
    there = site.client("there", "two", *LATER_CLIENT)
    site.ganesha(server).stop()
    taken = namespaces.inside(
        site.layout(server).namespace,
        lambda _: socket.create_server(("::", 2049), family=socket.AF_INET6),
    )
    with taken, pytest.raises(BackendError, match="bind"):
        shrink(site, server, [share], server.network_info[2:])
    assert site.driver.restart_server(server.id)
    assert_served(
        there, msgspec.structs.replace(share, export_locations=share.export_locations[2:])
    )
