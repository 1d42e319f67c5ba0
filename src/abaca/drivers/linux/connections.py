"""TCP connections in a network namespace, by the kernel's `sock_diag`: who is connected, by which
address, and since when nothing came; and connections ended with a reset to the other side."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from abaca.drivers.linux import namespaces
from abaca.errors import OutcomeUnknown

ANSWER_SECONDS = 1.0
MOST_BYTES = 64 * 1024**2

_SOCK_DIAG = 4  # the protocol of netlink
_BY_FAMILY, _DESTROY, _DONE, _ERROR = 20, 21, 3, 2  # types of messages
_REQUEST_DUMP, _REQUEST_ACKNOWLEDGED = 0x301, 0x5
_TCP, _TCP_INFO = 6, 2
_ESTABLISHED, _TIME_WAIT, _LISTEN = 1 << 1, 1 << 6, 1 << 10
_WITH_ANOTHER_SIDE = 0xFFFF & ~(_TIME_WAIT | _LISTEN)
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_HEAD = struct.Struct("=IHHII")
_ASKED = struct.Struct("=BBBxI")
_SOCKET_ID = struct.Struct("!HH16s16s12x")
_INTERFACE = struct.Struct("=36xI8x")  # in an id: only where the address is a link-local one
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


def reset(namespace: str, addresses: Collection[str], interfaces: Collection[str]) -> None:
    """End every TCP connection that has one of these addresses on the side of the namespace, or a
    link-local one of one of these interfaces.

    Those at the other ends are told by a reset, if packets with these addresses still get out.
    Raises as `established`.
    """
    wanted = {ip_address(address) for address in addresses}

    def act(_: object) -> None:
        numbers = {number for number, name in socket.if_nameindex() if name in interfaces}
        for family in _FAMILIES:
            for message in list(_listed(family, _WITH_ANOTHER_SIDE)):
                socket_id = message[_FOUND.size : _FOUND.size + _SOCKET_ID.size]
                is_wanted = _connection(message).server_address in wanted
                if is_wanted or _INTERFACE.unpack(socket_id)[0] in numbers:
                    _destroy(family, socket_id)

    namespaces.inside(namespace, act)


def require_resets() -> None:
    """Raise OutcomeUnknown when the kernel cannot `reset`; no connection is touched."""
    for family in _FAMILIES:
        _destroy(family, bytes(_SOCKET_ID.size))


def _established(port: int) -> Iterator[Connection]:
    for family in _FAMILIES:
        for message in _listed(family, _ESTABLISHED, port):
            yield _connection(message)


def _listed(family: int, states: int, port: int = 0) -> Iterator[bytes]:
    """The descriptions of the sockets of a family, at `port` or at all ports."""
    asked = _ASKED.pack(family, _TCP, 1 << (_TCP_INFO - 1), states)
    body = asked + _SOCKET_ID.pack(port, 0, bytes(16), bytes(16))
    with _asked(_BY_FAMILY, _REQUEST_DUMP, body) as link:
        yield from _answers(link)


def _destroy(family: int, socket_id: bytes) -> None:
    """`socket_id`: as the kernel wrote it. A connection that is gone is no error."""
    asked = _ASKED.pack(family, _TCP, 0, _WITH_ANOTHER_SIDE)
    with _asked(_DESTROY, _REQUEST_ACKNOWLEDGED, asked + socket_id) as link:
        (code,) = struct.unpack_from("=i", link.recv(65536), _HEAD.size)
    if code not in (0, -errno.ENOENT):
        raise OutcomeUnknown(f"the kernel does not end TCP connections: {os.strerror(-code)}")


@contextmanager
def _asked(kind: int, flags: int, body: bytes) -> Iterator[socket.socket]:
    """Where the answer to a question comes. OutcomeUnknown when none comes in time, or the kernel
    takes no such questions."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG) as link:
            link.settimeout(ANSWER_SECONDS)
            link.bind((0, 0))
            link.sendall(_HEAD.pack(_HEAD.size + len(body), kind, flags, 1, 0) + body)
            yield link
    except OSError as error:
        raise OutcomeUnknown(
            f"the kernel does not answer about TCP connections: {error}"
        ) from error


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
                raise OutcomeUnknown("the kernel does not list its TCP connections")
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
