"""TCP connections in a network namespace, as the kernel tells them (`sock_diag`): who is connected,
by which address, and since when nothing came."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from abaca.drivers.linux import namespaces
from abaca.errors import OutcomeUnknown

ANSWER_SECONDS = 1.0
MOST_BYTES = 64 * 1024**2

_SOCK_DIAG = 4  # the protocol of netlink
_BY_FAMILY, _DONE, _ERROR = 20, 3, 2  # types of messages
_REQUEST_DUMP = 0x301
_TCP, _ESTABLISHED, _TCP_INFO = 6, 1, 2
_HEAD = struct.Struct("=IHHII")
_ASKED = struct.Struct("=BBBxI")
_SOCKET_ID = struct.Struct("!HH16s16s12x")
_FOUND = struct.Struct("=BBBB")
_ATTRIBUTES_AT = 72  # in the description of a socket
_ATTRIBUTE = struct.Struct("=HH")
_LAST_RECEIVED_AT = 52  # in struct tcp_info: milliseconds

Address = IPv4Address | IPv6Address


class Connection(NamedTuple):
    """`address`: the client's; IPv4 never in its IPv6 form. `idle_seconds`: since something was
    received."""

    address: Address
    server_address: Address
    idle_seconds: int | None


def established(namespace: str, port: int) -> list[Connection]:
    """The connections that clients have to `port` in a network namespace, those from inside left
    out. Raises Unavailable when there is no such namespace, OutcomeUnknown when the kernel does not
    tell."""
    found = namespaces.inside(namespace, lambda _: list(_established(port)))
    return [connection for connection in found if not connection.address.is_loopback]


def _established(port: int) -> Iterator[Connection]:
    for family in (socket.AF_INET, socket.AF_INET6):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG) as link:
            link.settimeout(ANSWER_SECONDS)
            link.bind((0, 0))
            asked = _ASKED.pack(family, _TCP, 1 << (_TCP_INFO - 1), 1 << _ESTABLISHED)
            body = asked + _SOCKET_ID.pack(port, 0, bytes(16), bytes(16))
            link.sendall(_HEAD.pack(_HEAD.size + len(body), _BY_FAMILY, _REQUEST_DUMP, 1, 0) + body)
            for message in _answers(link):
                yield _connection(message)


def _answers(link: socket.socket) -> Iterator[bytes]:
    """The descriptions of sockets in the answer to a question."""
    left = MOST_BYTES
    while left > 0:
        data = link.recv(65536)
        left -= len(data)
        while data:
            length, kind, *_ = _HEAD.unpack_from(data)
            if kind == _DONE:
                return
            if kind == _ERROR:
                raise OutcomeUnknown("the kernel does not tell its TCP connections")
            yield data[_HEAD.size : length]
            data = data[length + -length % 4 :]
    raise OutcomeUnknown(f"more than {MOST_BYTES} bytes about TCP connections")


def _connection(message: bytes) -> Connection:
    family, *_ = _FOUND.unpack_from(message)
    _, _, server, client = _SOCKET_ID.unpack_from(message, _FOUND.size)
    return Connection(_address(family, client), _address(family, server), _idle(message))


def _address(family: int, written: bytes) -> Address:
    if family == socket.AF_INET:
        return IPv4Address(written[:4])
    address = IPv6Address(written)
    return address.ipv4_mapped or address


def _idle(message: bytes) -> int | None:
    at = _ATTRIBUTES_AT
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if kind == _TCP_INFO:
            (milliseconds,) = struct.unpack_from("=I", message, at + 4 + _LAST_RECEIVED_AT)
            return int(milliseconds) // 1000
        at += max(length + -length % 4, _ATTRIBUTE.size)
    return None
