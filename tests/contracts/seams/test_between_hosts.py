"""Links to other hosts, whatever rows say: one network's do not concern another's, and nobody on
the underlay gets in.

A network namespace stands for the host, another one for whoever is on its underlay.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_interface
from typing import NamedTuple
from uuid import uuid4

import pytest
from pyroute2 import IPRoute

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.clients import attach_client, detach_client
from abaca.drivers.linux.layout import Layout
from abaca.drivers.linux.wires import plugging
from abaca.drivers.linux.wires.plugging import BridgePlug, bridge_name
from abaca.values import RemotePort, SpannedNetwork, TunnelEnd
from tests.forged_frames import UDP, Station, capture, honest, ipv6, udp, vxlan
from tests.played_hosts import run
from tests.stack import enter

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

PORT = 4789
MTU = 1400


class Host(NamedTuple):
    """`underlay`: the namespace of whoever else is there, with the addresses that end in 2 and
    9."""

    netns: str
    underlay: str
    plug: BridgePlug
    namespace: str
    machines: list[str]

    def join(self, address: str, *networks: SpannedNetwork) -> list[str]:
        """As its worker does it."""
        end = TunnelEnd(address=address, port=PORT)
        return self.do(lambda: self.plug.join_hosts(end, networks))

    def do(self, act: Callable[[], list[str]]) -> list[str]:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(enter, self.netns).result()
            return pool.submit(act).result()

    def machine(self, network_id: str, *addresses: str) -> Station:
        netns = f"{self.netns}-{len(self.machines)}"
        self.machines.append(netns)
        attach_client(self.namespace, network_id, netns, addresses, mtu=MTU)
        ((interface, mac),) = plugging.ports_in(netns).items()
        texts = [str(ip_interface(each).ip) for each in addresses]
        return Station(netns, interface, mac, texts[0], texts[-1])

    def sends_to(self, network_id: str) -> list[str]:
        """MAC addresses that the network's link to other hosts knows."""

        def look(links: IPRoute) -> list[str]:
            (bridge,) = links.get_links(ifname=bridge_name(network_id))
            (link,) = [
                each
                for each in links.get_links(kind="vxlan")
                if each.get("master") == bridge["index"]
            ]
            entries = links.fdb("dump", ifindex=link["index"])
            return [
                str(each.get("NDA_LLADDR"))
                for each in entries
                if each["ifindex"] == link["index"] and each.get("NDA_DST")
            ]

        return namespaces.inside(self.namespace, look)


@pytest.fixture
def host(layout: Layout) -> Iterator[Host]:
    netns = f"h{uuid4().hex[:8]}"
    underlay = f"{netns}-u"
    machines: list[str] = []
    try:
        for name in (netns, underlay):
            run("ip", "netns", "add", name)
        pair = ["type", "veth", "peer", "name", "eth0", "netns", underlay]
        run("ip", "-n", netns, "link", "add", "eth0", *pair)
        for name, numbers in ((netns, [1]), (underlay, [2, 9])):
            run("ip", "-n", name, "link", "set", "eth0", "up")
            for number in numbers:
                run("ip", "-n", name, "addr", "add", f"10.97.0.{number}/24", "dev", "eth0")
                own = [f"fd00:97::{number}/64", "dev", "eth0", "nodad"]
                run("ip", "-n", name, "addr", "add", *own)
        yield Host(netns, underlay, BridgePlug(layout.namespace), layout.namespace, machines)
    finally:
        for machine in machines:
            detach_client(machine, layout.namespace)
        for name in (underlay, netns):
            namespaces.remove(name)


def elsewhere(mac: str, *addresses: str, host: str = "10.97.0.2") -> RemotePort:
    return RemotePort(mac_address=mac, ip_addresses=list(addresses), tunnel_address=host)


def spanned(
    network_id: str, number: int, ports: Sequence[RemotePort], mtu: int = MTU
) -> SpannedNetwork:
    return SpannedNetwork(
        network_id=network_id, segmentation_id=number, mtu=mtu, remote_ports=list(ports)
    )


@pytest.mark.parametrize(
    ("port", "mtu", "told"),
    [
        (elsewhere("00:00:00:00:00:00", "10.71.0.9"), MTU, "00:00:00:00:00:00"),
        (elsewhere("02:00:00:00:00:09", "fd00:71::9"), 1279, "1279"),
        (elsewhere("02:00:00:00:00:09", "10.71.0.9", host="10.97.0.255"), MTU, "10.97.0.255"),
        (elsewhere("02:00:00:00:00:09", "10.71.0.9", host="10.97.0.0"), MTU, "10.97.0.0"),
    ],
)
def test_a_row_that_makes_no_link_costs_no_other_network(
    host: Host, port: RemotePort, mtu: int, told: str
) -> None:
    odd, good = sorted((str(uuid4()), str(uuid4())), key=bridge_name)
    for network_id in (odd, good):
        host.machine(network_id, "10.71.0.20/24")
    other = elsewhere("02:00:00:00:00:07", "10.71.0.7")
    (lack,) = host.join("10.97.0.1/24", spanned(odd, 11, [port], mtu), spanned(good, 12, [other]))
    assert told in lack and odd in lack
    assert host.sends_to(good) == [other.mac_address]
    filtered = run("nsenter", f"--net=/run/netns/{host.netns}", "nft", "list", "ruleset")
    assert "10.97.0.2" in filtered and "10.97.0.255" not in filtered


def test_a_number_that_another_network_gets_connects_nobody_of_the_former_one(host: Host) -> None:
    """A tenant's machine stays on its bridge when the network has been deleted."""
    former, later = str(uuid4()), str(uuid4())
    own = elsewhere("02:00:00:00:00:07", "10.71.0.7")
    host.machine(former, "10.71.0.20/24")
    assert host.join("10.97.0.1/24", spanned(former, 11, [own])) == []
    assert host.sends_to(former) == [own.mac_address]
    host.machine(later, "10.71.0.20/24")
    theirs = elsewhere("02:00:00:00:00:08", "10.71.0.7")
    assert host.join("10.97.0.1/24", spanned(later, 11, [theirs])) == []
    assert host.sends_to(later) == [theirs.mac_address]
    with pytest.raises(ValueError, match="not enough"):
        host.sends_to(former)


def test_pieces_of_packets_get_nobody_in(host: Host) -> None:
    """The kernel puts those of IPv6 together behind the filter."""
    network_id = str(uuid4())
    target = host.machine(network_id, "10.71.0.20/24", "fd00:71::20/64")
    other = elsewhere("02:00:00:00:00:07", "10.71.0.7", "fd00:71::7", host="fd00:97::2")
    assert host.join("fd00:97::1/64", spanned(network_id, 11, [other])) == []
    sender = Station("", "", other.mac_address, "10.71.0.7", "fd00:71::7")
    forged, follows = honest(sender, target)[2:], honest(sender, target)[2:]
    with capture(target) as captured:
        for source, frames in (("fd00:97::9", forged), ("fd00:97::2", follows)):
            for frame in frames:
                send_in_pieces(host, source, "fd00:97::1", vxlan(11, frame))
        whole = honest(sender, target)[2:]
        for frame in whole:
            send_in_pieces(host, "fd00:97::2", "fd00:97::1", vxlan(11, frame), first=1 << 15)
        captured.wait_for(whole)
        assert captured.those_of(forged) == []


def send_in_pieces(host: Host, source: str, target: str, content: bytes, *, first: int = 8) -> None:
    """A datagram to the port of the tunnels; its first piece is of so many bytes."""
    datagram = udp(source, target, content, (PORT, PORT))[40:]
    number, pieces = int.from_bytes(os.urandom(4)), (datagram[:first], datagram[first:])

    def act(_: object) -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            for at, piece in zip((0, first), pieces, strict=True):
                if not pieces[1]:
                    packet = ipv6(source, target, UDP, datagram)
                elif piece:
                    more = at == 0
                    head = struct.pack("!BBHI", UDP, 0, at | more, number)
                    packet = ipv6(source, target, 44, head + piece)
                else:
                    continue
                raw.sendto(packet, (target, 0))
                if not pieces[1]:
                    break

    assert ip_address(source).version == 6
    namespaces.inside(host.underlay, act)
