"""Frames of ARP (RFC 826) and neighbour discovery (RFC 4861), made and read. Pure.

What is read is hostile input.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from abaca.addresses import Address

ARP, IPV6 = 0x0806, 0x86DD  # kinds of frames

_EVERYBODY, _NOBODY = b"\xff" * 6, bytes(6)
_ALL_NODES = IPv6Address("ff02::1").packed
_ARP_OVER_ETHERNET = struct.pack("!HHBB", 1, 0x0800, 6, 4)
_REQUEST, _REPLY, _ICMPV6 = 1, 2, 58
_SOLICITATION, _ADVERTISEMENT = 135, 136
_OVERRIDE = 0x20000000  # replaces what neighbours know
_TARGET_MAC = struct.pack("!BB", 2, 1)  # an option of 8 bytes


def mac_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def question(address: Address, mac: bytes) -> bytes:
    """The frame that asks, from the MAC address `mac` and from no IP address, who has `address`."""
    if isinstance(address, IPv4Address):
        return _arp(_REQUEST, (mac, bytes(4)), (_NOBODY, address.packed))
    # RFC 4291: the group of all that have an address that ends so
    group = b"\xff\x02" + bytes(9) + b"\x01\xff" + address.packed[-3:]
    return _icmpv6(mac, bytes(16), group, _SOLICITATION, bytes(4) + address.packed)


def announcements(address: Address, mac: bytes) -> list[bytes]:
    """Frames that tell everybody on the network that `address` is at the MAC address `mac`.

    By ARP twice, as a request and as an answer: some systems learn from one of them only.
    """
    if isinstance(address, IPv4Address):
        own = (mac, address.packed)
        return [_arp(_REQUEST, own, (_NOBODY, address.packed)), _arp(_REPLY, own, own)]
    told = struct.pack("!I", _OVERRIDE) + address.packed + _TARGET_MAC + mac
    return [_icmpv6(mac, address.packed, _ALL_NODES, _ADVERTISEMENT, told)]


def claimed(frame: bytes) -> tuple[Address, bytes] | None:
    """Which address somebody uses, or is about to use, by what a frame says, and the MAC address
    that the frame is from. None: the frame says nothing of that kind."""
    kind, sender, packet = frame[12:14], frame[6:12], frame[14:]
    if kind == struct.pack("!H", ARP):
        return _claimed_by_arp(packet, sender)
    if kind == struct.pack("!H", IPV6):
        return _claimed_by_neighbour_discovery(packet, sender)
    return None


def _claimed_by_arp(packet: bytes, sender: bytes) -> tuple[Address, bytes] | None:
    if len(packet) < 28 or packet[:6] != _ARP_OVER_ETHERNET:
        return None
    source, target = IPv4Address(packet[14:18]), IPv4Address(packet[24:28])
    if int(source):
        return source, sender
    is_probe = packet[6:8] == struct.pack("!H", _REQUEST)
    return (target, sender) if is_probe else None


def _claimed_by_neighbour_discovery(packet: bytes, sender: bytes) -> tuple[Address, bytes] | None:
    # a hop limit of 255: it comes from this network
    if len(packet) < 64 or packet[0] >> 4 != 6 or packet[6:8] != bytes((_ICMPV6, 255)):
        return None
    source, kind, code, target = packet[8:24], packet[40], packet[41], IPv6Address(packet[48:64])
    is_probe = kind == _SOLICITATION and source == bytes(16)
    return (target, sender) if code == 0 and (is_probe or kind == _ADVERTISEMENT) else None


def _arp(operation: int, sender: tuple[bytes, bytes], target: tuple[bytes, bytes]) -> bytes:
    """`sender` and `target`: (MAC address, IPv4 address)."""
    packet = _ARP_OVER_ETHERNET + struct.pack("!H", operation) + b"".join((*sender, *target))
    return _ethernet(_EVERYBODY, sender[0], ARP) + packet


def _icmpv6(mac: bytes, source: bytes, group: bytes, kind: int, content: bytes) -> bytes:
    """A message from `mac` and the address `source` to a multicast group."""
    message = struct.pack("!BBH", kind, 0, 0) + content
    pseudo = source + group + struct.pack("!II", len(message), _ICMPV6)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    head = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 255)
    return _ethernet(b"\x33\x33" + group[-4:], mac, IPV6) + head + source + group + message


def _ethernet(target: bytes, source: bytes, kind: int) -> bytes:
    return target + source + struct.pack("!H", kind)


def checksum(content: bytes) -> int:
    """The Internet checksum of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(content) // 2}H", content))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
