"""Tenant networks over several hosts: servers on one, machines on another, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from ipaddress import ip_interface
from pathlib import Path
from threading import Thread

import pytest
import sqlalchemy as sa

from abaca.db.session import utcnow
from abaca.db.tables import hosts as hosts_table
from abaca.domain.local_networks import forwarding, local_machines, local_networks
from abaca.domain.services import hosts
from abaca.domain.share_networks import share_networks
from abaca.drivers.linux.wires import plugging
from abaca.errors import Conflict, Invalid
from abaca.values import Caller
from tests.contracts.drivers.linux_backend import probe, unavailable_reason
from tests.databases import Databases
from tests.forged_frames import Station, capture, honest, send_encapsulated
from tests.operations.scene import allow, available_share, server_of, settled_rules
from tests.played_hosts import PlayedHost, Town, pings, run, town
from tests.service import wait_until
from tests.stack import ADMIN, MEMBER, enter, initialise

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.root,
    pytest.mark.slow("several workers with real back ends, and clients between them"),
    pytest.mark.timeout(300),
]

UNDERLAYS = {"IPv4": "10.99.0.{}/24", "IPv6": "fd00:99::{}/64"}
OTHER = Caller(user_id="other", project_id="other-project", roles=("member",))
V4, V6, LATER = "10.71.0.0/24", "fd00:71::/64", "10.72.0.0/24"


@pytest.fixture(params=UNDERLAYS)
def two_hosts(
    request: pytest.FixtureRequest, tmp_path: Path, postgresql_databases: Databases
) -> Iterator[Town]:
    if reason := unavailable_reason():
        pytest.skip(reason)
    url = postgresql_databases.create_from(initialise)
    with town(tmp_path, url, UNDERLAYS[request.param]) as made:
        yield made


def share_on(host: PlayedHost, share_network: str) -> str:
    """An available share of that host's, for everybody; its id."""
    id_ = available_share(host.stack, share_network, share_type=host.backend)
    for everybody in ("0.0.0.0/0", "::/0"):
        allow(host.stack, id_, everybody)
    assert settled_rules(host.stack, id_) == "active"
    return id_


def assert_served(netns: str, paths: list[str]) -> None:
    assert paths
    for path in paths:
        answer: dict[str, object] = {}

        def is_written(path: str = path, answer: dict[str, object] = answer) -> bool:
            answer |= probe(netns, "write", path, "served", f"by {path}")
            return bool(answer["ok"])

        wait_until(is_written, partial(str, answer), 10)
        assert probe(netns, "read", path, "served") == {"ok": True, "text": f"by {path}"}


def station(host: PlayedHost, name: str, network_id: str, addresses: set[str]) -> Station:
    """A machine of that host's on the network."""
    ipv4, *ipv6 = sorted(addresses)
    netns = host.machine(name, network_id, *sorted(addresses))
    ((interface, mac),) = plugging.ports_in(netns).items()
    texts = [str(ip_interface(each).ip) for each in (ipv4, *ipv6)]
    return Station(netns, interface, mac, texts[0], texts[-1])


def encapsulated(netns: str, source: str, target: str, vni: int, frames: list[bytes]) -> None:
    def send() -> None:
        enter(netns)
        send_encapsulated(source, target, vni, frames)

    thread = Thread(target=send)
    thread.start()
    thread.join(30)


def unreached(host: PlayedHost) -> str:
    return host.stack.ask(hosts.get, host.name)["unreached"] or ""


def filtered(host: PlayedHost) -> str:
    """The rules in the host's own namespace."""
    return run("nsenter", f"--net=/run/netns/{host.netns}", "nft", "list", "ruleset")


def store_host(conn: sa.Connection, name: str, tunnel_address: str) -> None:
    row = {"id": name, "name": name, "state": "up", "created_at": utcnow()}
    row |= {"tunnel_address": tunnel_address, "tunnel_port": 4789, "underlay_mtu": 1500}
    conn.execute(sa.insert(hosts_table).values(row))


def test_a_machine_on_one_host_uses_a_share_on_another(two_hosts: Town) -> None:
    near, far = two_hosts.hosts
    stack = near.stack
    v4, v6 = stack.network(V4, V6)
    share_network = stack.share_network(v4, v6)
    id_ = share_on(far, share_network)
    machine = near.machine("client", v4[0], "10.71.0.200/24", "fd00:71::200/64")
    assert_served(machine, stack.paths(id_))
    (later,) = stack.network(LATER)
    stack.add_subnet(share_network, later)
    assert stack.settled_network(share_network) == "active"
    on_later = near.machine("later", later[0], "10.72.0.200/24")
    assert_served(on_later, stack.paths(id_)[2:])
    assert not probe(on_later, "mount", stack.paths(id_)[0])["ok"], "the networks stay apart"
    # a host that comes later
    third = two_hosts.host()
    joined = third.machine("joined", v4[0], "10.71.0.201/24", "fd00:71::201/64")
    assert_served(joined, stack.paths(id_)[:2])
    # a port that goes
    assert third.address in far.tunnels()
    third.take_away(joined)
    wait_until(lambda: third.address not in far.tunnels() + near.tunnels(), far.tunnels, 10)
    assert_served(machine, stack.paths(id_)[:2])


def test_nothing_passes_between_tenants_and_nothing_is_injected(two_hosts: Town) -> None:
    near, far = two_hosts.hosts
    stack = near.stack
    mine, _ = stack.network(V4, V6)
    theirs, _ = stack.network(V4, V6, caller=OTHER)
    own = {"10.71.0.20/24", "fd00:71::20/64"}
    other = {"10.71.0.30/24", "fd00:71::30/64"}
    target = station(far, "target", mine[0], own)
    friend = station(near, "friend", mine[0], {"10.71.0.21/24", "fd00:71::21/64"})
    stranger = station(near, "stranger", theirs[0], {"10.71.0.21/24", "fd00:71::21/64"})
    station(far, "neighbour", theirs[0], other)
    wait_until(lambda: all(pings(friend.netns, target.ipv4, target.ipv6)), near.tunnels, 10)
    wait_until(lambda: all(pings(stranger.netns, "10.71.0.30", "fd00:71::30")), near.tunnels, 10)
    # the same addresses, but on the other network
    assert not any(pings(stranger.netns, target.ipv4, target.ipv6))
    vni = stack.ask(local_networks.get, ADMIN, mine[0])["segmentation_id"]
    third = two_hosts.underlay.machine(9)
    sender = Station("", "", "02:00:00:00:00:20", "10.71.0.40", "fd00:71::40")
    injected, follows = honest(sender, target)[2:], honest(sender, target)[2:]
    with capture(target) as captured:
        for netns, source, frames in (
            (third, two_hosts.underlay.address(9), injected),
            (near.netns, near.address, follows),
        ):
            encapsulated(netns, source, far.address, vni, frames)
        captured.wait_for(follows)
        assert captured.those_of(injected) == []
    # nobody's packets are taken for a network that has no port elsewhere
    near.take_away(friend.netns)
    wait_until(lambda: friend.mac not in far.tunnels(), far.tunnels, 10)
    with capture(target) as captured:
        encapsulated(near.netns, near.address, far.address, vni, follows)
        assert not any(pings(target.netns, friend.ipv4))
        assert captured.those_of(follows) == []


def test_what_was_lost_is_set_right_and_what_nobody_may_store_is_ignored(two_hosts: Town) -> None:
    near, far = two_hosts.hosts
    stack = near.stack
    network, _ = stack.network(V4, V6)
    here = station(near, "here", network[0], {"10.71.0.20/24", "fd00:71::20/64"})
    there = station(far, "there", network[0], {"10.71.0.21/24", "fd00:71::21/64"})
    wait_until(lambda: all(pings(here.netns, there.ipv4, there.ipv6)), near.tunnels, 10)
    # what nobody tells of is found by looking
    (link,) = {line.split()[2] for line in far.tunnels().splitlines() if near.address in line}
    in_bridges = ["nsenter", f"--net=/run/netns/{far.namespace}"]
    run(*in_bridges, "bridge", "fdb", "del", here.mac, "dev", link, "dst", near.address)
    wait_until(lambda: all(pings(here.netns, there.ipv4, there.ipv6)), far.tunnels, 10)
    # an administrator's mistake, or a worker that was away
    in_bridges = ["nsenter", f"--net=/run/netns/{near.namespace}"]
    (link,) = {line.split()[2] for line in near.tunnels().splitlines() if far.address in line}
    run(*in_bridges, "bridge", "fdb", "del", there.mac, "dev", link, "dst", far.address)
    run(*in_bridges, "ip", "neigh", "del", there.ipv4, "dev", link)
    assert far.address not in near.tunnels()
    stack.do(forwarding.changed)
    wait_until(lambda: all(pings(here.netns, there.ipv4, there.ipv6)), near.tunnels, 10)
    # an administrator's reload of the firewall
    run("nsenter", f"--net=/run/netns/{near.netns}", "nft", "flush", "ruleset")
    stack.do(forwarding.changed)
    wait_until(lambda: far.address in filtered(near), lambda: filtered(near), 10)
    # rows that whoever has taken over the API process could write
    outside = "198.51.100.7" if ":" not in far.address else "2001:db8::7"
    rows = [("evil", outside, "02:00:00:00:66:01"), ("odd", "; drop", "02:00:00:00:66:02")]
    for number, (name, address, mac) in enumerate(rows, 50):
        stack.do(store_host, name, address)
        ip = f"10.71.0.{number}"
        more = {"host": name, "name": name, "mac_address": mac, "ip_addresses": [ip]}
        stack.do(local_machines.put, network_id=network[0], **more)
    wait_until(
        lambda: outside in unreached(near) and "'; drop'" in unreached(near),
        lambda: unreached(near),
        10,
    )
    assert "02:00:00:00:66" not in near.tunnels() and outside not in filtered(near)
    assert all(pings(here.netns, there.ipv4, there.ipv6))
    # a host that is fenced is reached by nobody, and reaches nobody
    stack.do(hosts.set_state, far.name, "fenced", "it writes on")
    wait_until(lambda: far.address not in near.tunnels(), near.tunnels, 10)
    wait_until(lambda: near.address not in far.tunnels(), far.tunnels, 10)
    assert not any(pings(here.netns, there.ipv4, there.ipv6))
    stack.do(hosts.set_state, far.name, "up")
    wait_until(lambda: all(pings(here.netns, there.ipv4, there.ipv6)), near.tunnels, 10)


def test_packets_fit_through_the_tunnels(two_hosts: Town) -> None:
    near, far = two_hosts.hosts
    stack = near.stack
    fits = 1430 if ":" in near.address else 1450
    network, _ = stack.network(V4, V6)
    assert stack.ask(local_networks.get, ADMIN, network[0])["mtu"] == fits
    with pytest.raises(Invalid, match=f"at most {fits}, not {fits + 1}"):
        stack.do(local_networks.create, MEMBER, mtu=fits + 1)
    share_network = stack.share_network(network)
    id_ = share_on(far, share_network)
    (view,) = stack.ask(share_networks.get, MEMBER, share_network)["share_network_subnets"]
    assert view["mtu"] == fits
    netns = f"{far.namespace}.{server_of(stack, id_)}"
    assert f"mtu {fits} " in run("ip", "-n", netns, "link", "show", "type", "veth")
    # one of before the hosts were there, or the underlay's became smaller
    here = station(near, "here", network[0], {"10.71.0.20/24"})
    assert f"mtu {fits} " in run("ip", "-n", here.netns, "link", "show", "type", "veth")
    big = fits - 28
    server = stack.paths(id_)[0].partition(":")[0]
    wait_until(lambda: all(pings(here.netns, server, size=big)), near.tunnels, 10)
    run("ip", "-n", near.netns, "link", "set", "eth0", "mtu", "1400")
    stack.do(forwarding.changed)
    wait_until(lambda: "eth0 is 1400" in unreached(near), lambda: unreached(near), 10)


def test_ends_that_do_not_go_together_are_refused(two_hosts: Town) -> None:
    near, far = two_hosts.hosts
    stack = near.stack
    with pytest.raises(Conflict, match=f"{far.address} is taken: host host2"):
        stack.do(hosts.register, "h3", tunnel_address=far.address, tunnel_port=4789)
    with pytest.raises(Conflict, match="port 4790 is another one: host host1"):
        stack.do(
            hosts.register, "h3", tunnel_address=two_hosts.underlay.address(3), tunnel_port=4790
        )
    other = "10.99.0.3" if ":" in far.address else "fd00:99::3"
    with pytest.raises(Conflict, match=f"{other} is of another IP version: host host1"):
        stack.do(hosts.register, "h3", tunnel_address=other, tunnel_port=4789)
