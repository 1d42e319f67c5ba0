"""One call on the DBus of a share server, whoever answers: the server and its bus may have been
captured.

The time is limited for all of it, the size of each message, and what an answer may hold. Its head
is read here before the library sees it, as the library follows any type that a message names: an
array of empty structures keeps it busy for ever.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from jeepney import HeaderFields, Message, MessageType, message_bus
from jeepney.auth import BEGIN, Authenticator
from jeepney.low_level import calc_msg_size, header_field_codes

MOST_BYTES = 4 * 1024**2
"""Of one message: the list of 15,000 exports."""
_START = 16  # bytes of a message that tell its length
_AT_ONCE = 65536
_ERROR = "s"  # what errors and signals hold, if anything


class Malformed(ValueError):
    """What came is no message, or none that was asked for."""


class _Raw(NamedTuple):
    data: bytes
    fields: dict[HeaderFields, int | str]  # its signature and the call that it answers


def call(path: str, message: Message, signature: str, seconds: float) -> Message:
    """The answer to `message` on the bus at the socket `path`: an error, or a return that holds
    `signature`.

    Raises TimeoutError after `seconds`, Malformed or another ValueError for nonsense, OSError when
    the bus is not there.
    """
    with _connected(path, time.monotonic() + seconds) as link:
        link.ask(message_bus.Hello(), "s", 1)
        return link.ask(message, signature, 2)


@contextmanager
def _connected(path: str, deadline: float) -> Iterator[_Link]:
    with socket.socket(socket.AF_UNIX) as made:
        link = _Link(made, deadline)
        link.wait()
        made.connect(path)
        made.sendall(b"\0")
        authenticator = Authenticator(inc_null_byte=False)
        for line in authenticator:
            link.send(line)
            authenticator.feed(link.receive(1024))
        link.send(BEGIN)
        yield link


class _Link:
    def __init__(self, link: socket.socket, deadline: float) -> None:
        self._link = link
        self._deadline = deadline

    def wait(self) -> None:
        """Let the next call wait until the deadline, not longer."""
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._link.settimeout(remaining)

    def send(self, data: bytes) -> None:
        self.wait()
        self._link.sendall(data)

    def receive(self, most: int) -> bytes:
        self.wait()
        if not (data := self._link.recv(most)):
            raise ConnectionResetError("the bus closed the connection")
        return data

    def ask(self, message: Message, signature: str, serial: int) -> Message:
        self.send(message.serialise(serial=serial))
        while True:
            raw = self._next()
            if raw.fields.get(HeaderFields.reply_serial) == serial:
                return _message(raw, signature)

    def _next(self) -> _Raw:
        start = self._exactly(_START)
        length = calc_msg_size(start)
        if not _START <= length <= MOST_BYTES:
            raise Malformed(f"a message of {length} bytes, more than {MOST_BYTES}")
        data = start + self._exactly(length - _START)
        return _Raw(data, _fields(data))

    def _exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            data += self.receive(min(_AT_ONCE, length - len(data)))
        return bytes(data)


def _message(raw: _Raw, signature: str) -> Message:
    held = raw.fields.get(HeaderFields.signature, "")
    is_error = raw.data[1] == MessageType.error.value
    if held not in (("", _ERROR) if is_error else (signature,)):
        raise Malformed(f"an answer of type '{str(held)[:100]}' in place of '{signature}'")
    return Message.from_buffer(raw.data)


def _fields(data: bytes) -> dict[HeaderFields, int | str]:
    """The fields of a head, each of the type that it has for everybody: no other can be walked
    without care."""
    order = "<" if data[:1] == b"l" else ">"
    end, at = _START + _number(data, 12, order), _START
    found: dict[HeaderFields, int | str] = {}
    while at < end:
        at += -at % 8
        kind, length = data[at], data[at + 1]
        type_ = data[at + 2 : at + 2 + length].decode("ascii")
        if type_ != header_field_codes.get(kind):
            raise Malformed(f"a field {kind} of type '{type_}' in a head")
        value, at = _field(data, at + 3 + length, type_, order)
        found[HeaderFields(kind)] = value
    return found


def _field(data: bytes, at: int, type_: str, order: str) -> tuple[int | str, int]:
    """(the value at this place, the place after it)."""
    if type_ == "g":
        length = data[at]
        return data[at + 1 : at + 1 + length].decode("ascii"), at + 2 + length
    at += -at % 4
    number = _number(data, at, order)
    if type_ == "u":
        return number, at + 4
    return data[at + 4 : at + 4 + number].decode(), at + 5 + number


def _number(data: bytes, at: int, order: str) -> int:
    (number,) = struct.unpack_from(f"{order}I", data, at)
    return int(number)
