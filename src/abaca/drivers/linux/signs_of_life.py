"""Whether another host lives: whether its kernel answers echo requests on the networks that its
share servers need, that of the storage and that of the tunnels between hosts.

Not by a call to a file server: tunnels carry no answer to a host without a port on that network,
and whoever is on a tenant's network could answer in its place.

Whoever is on the network of storage or tunnels can send this host any number of ICMP messages, and
learn no mark but by answering at a host's own address. The kernel throws away all others.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from ipaddress import ip_address, ip_interface

from pyroute2 import IPRoute

from abaca.addresses import Address, plain_address
from abaca.drivers.linux import namespaces
from abaca.drivers.linux.neighbour_frames import checksum
from abaca.errors import BackendError
from abaca.values import Answers, TunnelEnd

STORAGE, TUNNEL = "storage", "tunnel"
MOST_PLACES = 8
MOST_ASKED = 512
"""Places come by the database: nobody asks more of them."""
LISTEN_SECONDS = 1.5
_UNTIL = (0.4, 0.8, LISTEN_SECONDS)
"""Seconds since the beginning until which answers are listened for after each request."""
_MARK_BYTES = 16
_LONGEST_ANSWER = 256
_UNIVERSE = 0  # RT_SCOPE_UNIVERSE: an address not of the link or of this machine only
_SO_ATTACH_FILTER, _SO_SNDBUFFORCE = 26, 32
_UNDER_WAY = 2 * 1024 * 1024
"""Bytes. Linux keeps requests to who is gone for seconds, about 1 KiB each; with less room than for
all of them the next one would wait."""
_PROTOCOL = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_REQUEST, _REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}


def places(storage_namespace: str, end: TunnelEnd | None) -> list[str]:
    """Those of this host, for `answering` on others."""
    found = [f"{TUNNEL} {ip_interface(end.address).ip}"] if end else []
    with suppress(BackendError):  # there is no such namespace, which the back end says elsewhere
        own = sorted(namespaces.inside(storage_namespace, _own))
        found += [f"{STORAGE} {each}" for each in own]
    return found[:MOST_PLACES]


def answering(storage_namespace: str, asked: Sequence[str]) -> Answers:
    """Which of these places, of other hosts, answer within `LISTEN_SECONDS`. What is no address of
    another machine does not. Raises Unavailable when this host has no part in a network."""
    storage: dict[str, Address] = {}
    tunnels: dict[str, Address] = {}
    for place in asked[:MOST_ASKED]:
        network, _, text = place.partition(" ")
        with suppress(ValueError, KeyError):
            {STORAGE: storage, TUNNEL: tunnels}[network][place] = plain_address(text)
    found = Answers(
        at=[], unasked=dict.fromkeys(asked[MOST_ASKED:], f"there are more than {MOST_ASKED} places")
    )
    looks: list[Future[Answers]] = []
    with ThreadPoolExecutor(2, "signs of life") as threads:
        if storage:
            ask = partial(_answering, STORAGE, storage)
            looks.append(threads.submit(namespaces.inside, storage_namespace, ask))
        if tunnels:
            looks.append(threads.submit(namespaces.here, partial(_answering, TUNNEL, tunnels)))
    for look in looks:
        found.at.extend(look.result().at)
        found.unasked.update(look.result().unasked)
    return found


def _own(links: IPRoute) -> set[str]:
    """The addresses of the namespace by which other machines reach it."""
    found = {
        address.get("IFA_ADDRESS") for address in links.get_addr() if address["scope"] == _UNIVERSE
    }
    return {each for each in found if not ip_address(each).is_loopback}


def _answering(
    network: str,
    asked: Mapping[str, Address],
    links: IPRoute,
    listen_until: Sequence[float] = _UNTIL,
) -> Answers:
    own = {ip_address(each) for each in _own(links)}
    left = {each for each in asked.values() if each not in own and _is_of_a_machine(each)}
    found: set[Address] = set()
    unasked: dict[Address, str] = {}
    mark = os.urandom(_MARK_BYTES)
    began = time.monotonic()
    with ExitStack() as opened:
        raws = {
            version: opened.enter_context(_raw(version, mark))
            for version in sorted({each.version for each in left})
        }
        for seconds in listen_until:
            for address in left - found:
                try:
                    _send(raws[address.version], address, mark)
                except OSError as error:  # which says nothing of that host
                    reason = f"this host does not reach {address} ({network} network)"
                    unasked[address] = f"{reason}: {error.strerror}"
                    left.remove(address)
            while waiting := left - found:
                rest = began + seconds - time.monotonic()
                heard: set[Address] = set()
                for version, raw in raws.items():
                    heard |= _heard(version, raw, mark, rest / len(raws)) & waiting
                found |= heard
                if rest <= 0 and not heard:  # nor anything that came while this host was busy
                    break
    return Answers(
        at=[place for place, address in asked.items() if address in found],
        unasked={place: unasked[each] for place, each in asked.items() if each in unasked},
    )


def _is_of_a_machine(address: Address) -> bool:
    return not (
        address.is_loopback
        or address.is_multicast
        or address.is_unspecified
        or address.is_link_local
        or address.is_reserved
    )


def _raw(version: int, mark: bytes) -> socket.socket:
    """It hears only what ends with `mark`, whatever else is sent to this host."""
    made = socket.socket(_FAMILY[version], socket.SOCK_RAW, _PROTOCOL[version])
    program = ctypes.create_string_buffer(_filter(mark))
    attached = struct.pack("HP", len(program.raw) // 8, ctypes.addressof(program))
    made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
    made.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _UNDER_WAY)
    return made


def _filter(mark: bytes) -> bytes:
    """A program of classic BPF: whether a message ends with that."""
    words = struct.unpack(f"!{len(mark) // 4}I", mark)
    steps = [(0x80, 0, 0, 0), (0x14, 0, 0, len(mark)), (0x07, 0, 0, 0)]  # X = length - len(mark)
    for number, word in enumerate(words):
        to_the_end = 2 * (len(words) - number) - 1
        steps += [(0x40, 0, 0, 4 * number), (0x15, 0, to_the_end, word)]  # is [X + …] the word?
    steps += [(0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)]  # all of it; nothing
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _send(raw: socket.socket, address: Address, mark: bytes) -> None:
    message = struct.pack("!BBHHH", _REQUEST[address.version], 0, 0, 0, 1) + mark
    if address.version == 4:  # of version 6 the kernel sums up
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    raw.sendto(message, socket.MSG_DONTWAIT, (str(address), 0))


def _heard(version: int, raw: socket.socket, mark: bytes, seconds: float) -> set[Address]:
    """Who has answered, of those that answer within so many seconds: the next one or nobody."""
    raw.settimeout(max(seconds, 0.001))
    try:
        message, sender = raw.recvfrom(_LONGEST_ANSWER)
    except OSError:
        return set()
    head = (message[0] & 15) * 4 if version == 4 and message else 0
    is_reply = len(message) > head and message[head] == _REPLY[version]
    return {ip_address(sender[0])} if is_reply and message.endswith(mark) else set()
