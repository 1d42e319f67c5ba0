"""Frames that somebody on a network sends in another's name, and a look at whom they reach.

Each attack is a function of (attacker, victim, witness) that gives frames, each with a mark of its
own behind the packet's last byte, where nobody but the capturer reads it.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import NamedTuple

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.wires.port_rules import link_local

ETH_P_ALL = 3
IPV4, ARP, VLAN, IPV6, EXPERIMENTAL = 0x0800, 0x0806, 0x8100, 0x86DD, 0x88B5
EVERYBODY, ALL_NODES = "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"
HOP_BY_HOP, TCP, UDP, ICMP, ICMPV6, DESTINATION_OPTIONS = 0, 6, 17, 1, 58, 60
REQUEST, REPLY = 1, 2
ROUTER_ADVERTISEMENT, SOLICITATION, ADVERTISEMENT, REDIRECT = 134, 135, 136, 137
OVERRIDE = 0x20000000
VXLAN_PORT = 4789
CAPTURE_SECONDS = 30.0
MARK_BYTES = 16


class Station(NamedTuple):
    """Somebody on a network: the namespace and the interface there, and the addresses."""

    netns: str
    interface: str
    mac: str
    ipv4: str
    ipv6: str


Attack = Callable[[Station, Station, Station], list[bytes]]


# --- building frames ------------------------------------------------------------------------------


def ethernet(target: str, source: str, kind: int, content: bytes) -> bytes:
    return (
        _mac(target)
        + _mac(source)
        + struct.pack("!H", kind)
        + content.ljust(46, b"\0")
        + os.urandom(MARK_BYTES)
    )


def arp(operation: int, sender: tuple[str, str], target: tuple[str, str]) -> bytes:
    """`sender` and `target`: (MAC address, IPv4 address)."""
    (sender_mac, sender_ip), (target_mac, target_ip) = sender, target
    return (
        struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
        + _mac(sender_mac)
        + _ip(sender_ip)
        + _mac(target_mac)
        + _ip(target_ip)
    )


def ipv4(source: str, target: str, protocol: int, content: bytes) -> bytes:
    head = (
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(content), 1, 0, 64, protocol, 0)
        + _ip(source)
        + _ip(target)
    )
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + content


def ipv6(source: str, target: str, following: int, content: bytes) -> bytes:
    return (
        struct.pack("!IHBB", 6 << 28, len(content), following, 255)
        + _ip(source)
        + _ip(target)
        + content
    )


def udp(
    source: str, target: str, content: bytes = b"forged", ports: tuple[int, int] = (9, 9)
) -> bytes:
    """A datagram in its packet, of either family."""
    if ip_address(source).version == 4:
        return ipv4(
            source, target, UDP, struct.pack("!HHHH", *ports, 8 + len(content), 0) + content
        )
    whole = struct.pack("!HHHH", *ports, 8 + len(content), 0) + content
    return ipv6(
        source,
        target,
        UDP,
        whole[:6] + struct.pack("!H", _sum6(source, target, UDP, whole)) + whole[8:],
    )


def connecting(source: str, target: str, port: int = 2049, flags: int = 2) -> bytes:
    """The first segment of a TCP connection in its packet, IPv4. With other `flags` (16: only an
    acknowledgement): one of a connection that there is not."""
    head = struct.pack("!HHIIBBHHH", 700, port, 1, 0, 5 << 4, flags, 64000, 0, 0)
    own_sum = checksum(_ip(source) + _ip(target) + struct.pack("!HH", TCP, len(head)) + head)
    return ipv4(source, target, TCP, head[:16] + struct.pack("!H", own_sum) + head[18:])


def icmpv6(source: str, target: str, kind: int, rest: bytes, behind: int | None = None) -> bytes:
    """`behind`: the kind of an empty extension header that it hides behind."""
    message = struct.pack("!BBH", kind, 0, 0) + rest
    message = message[:2] + struct.pack("!H", _sum6(source, target, ICMPV6, message)) + message[4:]
    if behind is None:
        return ipv6(source, target, ICMPV6, message)
    return ipv6(source, target, behind, struct.pack("!BBBBI", ICMPV6, 0, 1, 4, 0) + message)


def advertisement(address: str, mac: str, source: str, behind: int | None = None) -> bytes:
    """`address` is at `mac`, says `source` to everybody."""
    return icmpv6(
        source,
        "ff02::1",
        ADVERTISEMENT,
        struct.pack("!I", OVERRIDE) + _ip(address) + _option(2, mac),
        behind,
    )


def solicitation(address: str, source: str, mac: str) -> bytes:
    """Who has `address`? Tell `source`, at `mac`."""
    return icmpv6(source, "ff02::1", SOLICITATION, bytes(4) + _ip(address) + _option(1, mac))


def router_advertisement(source: str, mac: str, behind: int | None = None) -> bytes:
    return icmpv6(
        source,
        "ff02::1",
        ROUTER_ADVERTISEMENT,
        struct.pack("!BBHII", 64, 0, 1800, 0, 0) + _option(1, mac),
        behind,
    )


def vxlan(vni: int, frame: bytes) -> bytes:
    return struct.pack("!II", 0x08000000, vni << 8) + frame


# --- attacks --------------------------------------------------------------------------------------


def _addressed(attacker: Station, packet: bytes, source: str = "") -> bytes:
    kind = IPV4 if packet[0] >> 4 == 4 else IPV6
    return ethernet(ALL_NODES if kind == IPV6 else EVERYBODY, source or attacker.mac, kind, packet)


def claimed_by_arp(attacker: Station, victim: Station, witness: Station) -> list[bytes]:
    """An answer, an answer to the witness alone, an announcement and a question, each with the
    victim's address at the attacker's."""
    as_victim, to_witness = (attacker.mac, victim.ipv4), (witness.mac, witness.ipv4)
    packets = [
        arp(REPLY, as_victim, to_witness),
        arp(REQUEST, as_victim, (EVERYBODY, victim.ipv4)),
        arp(REQUEST, as_victim, to_witness),
    ]
    frames = [ethernet(EVERYBODY, attacker.mac, ARP, packet) for packet in packets]
    return [*frames, ethernet(witness.mac, attacker.mac, ARP, packets[0])]


def arp_in_anothers_name(attacker: Station, victim: Station, witness: Station) -> list[bytes]:
    """The attacker's own address at the victim's MAC address, and the victim's whole answer."""
    packets = [
        arp(REPLY, (victim.mac, address), (witness.mac, witness.ipv4))
        for address in (attacker.ipv4, victim.ipv4)
    ]
    return [ethernet(EVERYBODY, attacker.mac, ARP, packet) for packet in packets]


def claimed_by_neighbour_discovery(
    attacker: Station, victim: Station, witness: Station
) -> list[bytes]:
    """Advertisements of the victim's addresses, from the attacker's own; and solicitations that
    come from the victim's."""
    own, taken = link_local(attacker.mac), (victim.ipv6, link_local(victim.mac))
    packets = [advertisement(address, attacker.mac, own) for address in taken]
    packets += [solicitation(witness.ipv6, address, attacker.mac) for address in taken]
    return [_addressed(attacker, packet) for packet in packets]


def claimed_behind_extension_headers(
    attacker: Station, victim: Station, witness: Station
) -> list[bytes]:
    packets = [
        advertisement(victim.ipv6, attacker.mac, link_local(attacker.mac), behind)
        for behind in (HOP_BY_HOP, DESTINATION_OPTIONS)
    ]
    return [_addressed(attacker, packet) for packet in packets]


def routes_told(attacker: Station, victim: Station, witness: Station) -> list[bytes]:
    """A router's advertisement, behind extension headers, too, and redirects of both families."""
    own = link_local(attacker.mac)
    packets = [
        router_advertisement(own, attacker.mac, behind)
        for behind in (None, HOP_BY_HOP, DESTINATION_OPTIONS)
    ]
    redirect = struct.pack("!BBHI", 5, 1, 0, int.from_bytes(_ip(attacker.ipv4))) + ipv4(
        witness.ipv4, victim.ipv4, UDP, bytes(8)
    )
    redirect = redirect[:2] + struct.pack("!H", checksum(redirect)) + redirect[4:]
    elsewhere = icmpv6(
        own,
        witness.ipv6,
        REDIRECT,
        bytes(4) + _ip(own) + _ip(victim.ipv6) + _option(2, attacker.mac),
    )
    packets += [ipv4(attacker.ipv4, witness.ipv4, ICMP, redirect), elsewhere]
    return [_addressed(attacker, packet) for packet in packets]


def sent_from_anothers_mac(attacker: Station, victim: Station, witness: Station) -> list[bytes]:
    """What makes a bridge send the victim's frames to the attacker."""
    packets = (udp(attacker.ipv4, witness.ipv4), udp(attacker.ipv6, "ff02::1"))
    return [_addressed(attacker, packet, source=victim.mac) for packet in packets]


def sent_from_anothers_address(attacker: Station, victim: Station, witness: Station) -> list[bytes]:
    sources = [
        (victim.ipv4, witness.ipv4),
        (victim.ipv6, witness.ipv6),
        (link_local(victim.mac), "ff02::1"),
    ]
    return [_addressed(attacker, udp(source, target)) for source, target in sources]


def hidden_under_tags(attacker: Station, victim: Station, witness: Station) -> list[bytes]:
    """Receivers take priority tags (VLAN 0) off, more than one, too."""
    claim = arp(REPLY, (attacker.mac, victim.ipv4), (witness.mac, witness.ipv4))
    once = struct.pack("!HH", 0, ARP) + claim
    twice = struct.pack("!HH", 0, VLAN) + once
    other = struct.pack("!HH", 7, ARP) + claim
    return [ethernet(EVERYBODY, attacker.mac, VLAN, tagged) for tagged in (once, twice, other)]


def of_an_unknown_kind(attacker: Station, victim: Station, witness: Station) -> list[bytes]:
    return [ethernet(EVERYBODY, attacker.mac, EXPERIMENTAL, b"forged")]


ATTACKS: tuple[Attack, ...] = (
    claimed_by_arp,
    arp_in_anothers_name,
    claimed_by_neighbour_discovery,
    claimed_behind_extension_headers,
    routes_told,
    sent_from_anothers_mac,
    sent_from_anothers_address,
    hidden_under_tags,
    of_an_unknown_kind,
)


def honest(sender: Station, target: Station) -> list[bytes]:
    """What the sender may send to everybody: a question by ARP, an advertisement of its own, a
    datagram of each family to the target."""
    frames = [
        ethernet(
            EVERYBODY,
            sender.mac,
            ARP,
            arp(REQUEST, (sender.mac, sender.ipv4), (EVERYBODY, target.ipv4)),
        ),
        _addressed(sender, advertisement(sender.ipv6, sender.mac, link_local(sender.mac))),
    ]
    packets = [(IPV4, udp(sender.ipv4, target.ipv4)), (IPV6, udp(sender.ipv6, target.ipv6))]
    return frames + [ethernet(target.mac, sender.mac, kind, packet) for kind, packet in packets]


# --- sending and capturing ------------------------------------------------------------------------


def send(sender: Station, frames: Iterable[bytes]) -> None:
    """As they are, by the sender's interface."""

    def act(_: object) -> None:
        # one processor: they arrive in this order
        os.sched_setaffinity(threading.get_native_id(), {min(os.sched_getaffinity(0))})
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.bind((sender.interface, 0))
            for frame in frames:
                raw.send(frame)

    namespaces.inside(sender.netns, act)


def send_encapsulated(source: str, target: str, vni: int, frames: Iterable[bytes]) -> None:
    """Through a VXLAN port, from an address of the network namespace that the caller is in.
    `source`, `target`: of either family."""
    family = socket.AF_INET if ip_address(source).version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as tunnel:
        tunnel.bind((source, 0))
        for frame in frames:
            tunnel.sendto(vxlan(vni, frame), (target, VXLAN_PORT))


class Capture:
    """What arrives at a station."""

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw
        self._frames: list[bytes] = []

    def wait_for(self, frames: Sequence[bytes]) -> None:
        """Until all of these arrived. Raises TimeoutError when nothing comes for
        `CAPTURE_SECONDS`."""
        while len(self.those_of(frames)) < len(frames):
            frame, origin = self._raw.recvfrom(65536)
            if origin[2] != socket.PACKET_OUTGOING:
                self._frames.append(frame)

    def forget(self) -> None:
        """What has arrived so far."""
        self._frames.clear()

    def those_of(self, frames: Iterable[bytes]) -> list[bytes]:
        """Those that arrived. A bridge may have cut off what is behind the packet, the capture a
        tag before it."""
        return [
            frame
            for frame in frames
            if any(frame.startswith(seen) or frame[-MARK_BYTES:] in seen for seen in self._frames)
        ]


@contextmanager
def capture(at: Station) -> Iterator[Capture]:
    def opened(_: object) -> socket.socket:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        raw.bind((at.interface, ETH_P_ALL))
        raw.settimeout(CAPTURE_SECONDS)
        return raw

    with namespaces.inside(at.netns, opened) as raw:
        yield Capture(raw)


def arrived(attacker: Station, frames: Iterable[bytes], *at: Station) -> list[list[bytes]]:
    """Which of these frames arrived at each of the stations; the attacker's honest ones that follow
    them must."""
    sent = list(frames)
    with ExitStack() as stack:
        captures = [stack.enter_context(capture(each)) for each in at]
        send(attacker, sent)
        for each, captured in zip(at, captures, strict=True):
            follows = honest(attacker, each)
            send(attacker, follows)
            captured.wait_for(follows)
        return [captured.those_of(sent) for captured in captures]


def neighbour(of: Station, address: str) -> str | None:
    """The MAC address at which the station believes an address to be."""
    found = namespaces.inside(
        of.netns,
        lambda links: [
            (each.get("NDA_DST"), each.get("NDA_LLADDR")) for each in links.get_neighbours()
        ],
    )
    return dict(found).get(address)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _ip(text: str) -> bytes:
    return ip_address(text).packed


def _option(kind: int, mac: str) -> bytes:
    return struct.pack("!BB", kind, 1) + _mac(mac)


def _sum6(source: str, target: str, protocol: int, content: bytes) -> int:
    return checksum(
        _ip(source) + _ip(target) + struct.pack("!II", len(content), protocol) + content
    )


def checksum(content: bytes) -> int:
    """The Internet checksum."""
    padded = content + bytes(len(content) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
