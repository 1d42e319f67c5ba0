"""What the worker makes of a captured NFS server's bus: whatever it answers is a refusal, and the
server counts as gone."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jeepney import MessageType, new_method_return
from jeepney.low_level import Message, Parser

from abaca.drivers.linux.file_services.nfs.exports import ANSWERS, ExportBus
from abaca.drivers.linux.file_services.nfs.vigil import Health
from abaca.errors import BackendError, OutcomeUnknown

NOT_LITTLE_NOR_BIG = b"x" * 64
TEXT_WITHOUT_END = (
    b"l\2\1\1\x0c\0\0\0\7\0\0\0\x0f\0\0\0\5\1u\0\1\0\0\0\x08\1g\0\1s\0\0\3\0\0\0textmore"
)
EXPORTS = ANSWERS["ShowExports"]
MOST_GROWTH = 64 * 1024**2  # bytes


def answer_of(signature: bytes, body: bytes, field: tuple[bytes, bytes] | None = None) -> bytes:
    """The answer to the second call as its bytes, whatever they mean; `field`: one more in its
    head, a type and a value."""
    fields = b"\5\1u\0\2\0\0\0" + b"\x08\1g\0" + bytes([len(signature)]) + signature + b"\0"
    if field:
        type_, value = field
        fields += bytes(-len(fields) % 8) + b"\1" + bytes([len(type_)]) + type_ + b"\0"
        fields += bytes(-len(fields) % 4) + value
    head = b"l\2\0\1" + struct.pack("<III", len(body), 7, len(fields)) + fields
    return head + bytes(-len(head) % 8) + body


LIES: dict[str, tuple[str, tuple[Any, ...]] | bytes] = {
    "nothing": ("", ()),
    "half of it": ("s", ("now",)),
    "more than it": ("sss", ("now", "and", "then")),
    "a number for a list": ("si", ("now", 5)),
    "words for ids": ("sa(s)", ("now", [("word",)])),
    "texts for exports": ("sas", ("now", ["word"])),
    "bytes for exports": ("say", ("now", bytes(1000))),
    "another kind": ("sav", ("now", [("as", ["word"])])),
    "an error of 5 MB": ("ss", ("now", "error" * 10**6)),
    "no message": NOT_LITTLE_NOR_BIG,
    "a text without its end": TEXT_WITHOUT_END,
    "a message of 4 GiB": b"l\2\1\1" + b"\xff" * 12 + bytes(1000),
    "empty structures without end": answer_of(b"a()", struct.pack("<II", 8, 0) + bytes(8)),
    "empty structures in what was asked for": answer_of(
        EXPORTS.encode() + b"a()", bytes(56) + b"\x08" + bytes(15)
    ),
    "empty structures in the head": answer_of(
        b"s", bytes(5), (b"a()", struct.pack("<II", 8, 0) + bytes(8))
    ),
    "a variant in the head": answer_of(
        b"s", bytes(5), (b"v", b"\3a()\0" + bytes(3) + struct.pack("<II", 8, 0) + bytes(8))
    ),
    "24 MiB": answer_of(b"a(y)", struct.pack("<I", 24 << 20) + bytes((24 << 20) + 4)),
    "four million small ones": answer_of(
        b"a(y)", struct.pack("<II", 4_000_000, 0) + bytes(4_000_000)
    ),
    "a header without a type": b"l\2\1\1"
    + bytes(4)
    + b"\1\0\0\0"
    + b"\x08\0\0\0"
    + b"\5\1\xff\0"
    + bytes(20),
}


@contextmanager
def bus(path: Path, lie: tuple[str, tuple[Any, ...]] | bytes) -> Iterator[None]:
    """A bus at `path` that greets as buses do and answers each other call with `lie`: a signature
    and values, or bytes."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        threading.Thread(target=serve, args=(listening, lie), daemon=True).start()
        yield
        listening.shutdown(socket.SHUT_RDWR)


def serve(listening: socket.socket, lie: tuple[str, tuple[Any, ...]] | bytes) -> None:
    while True:
        try:
            link, _ = listening.accept()
        except OSError:
            return
        with link:
            link.settimeout(1)
            link.recv(1024)
            link.sendall(b"OK 1234deadbeef\r\n")
            with contextlib.suppress(OSError):
                talk(link, lie)


def talk(link: socket.socket, lie: tuple[str, tuple[Any, ...]] | bytes) -> None:
    parser, begun = Parser(), b""
    while b"BEGIN\r\n" not in begun:
        begun += link.recv(1024)
    parser.add_data(begun.split(b"BEGIN\r\n", 1)[1])
    while True:
        message = parser.get_next_message()
        if message is None:
            data = link.recv(4096)
            if not data:
                return
            parser.add_data(data)
        elif message.header.message_type is MessageType.method_call:
            link.sendall(answer(message, lie))


def answer(message: Message, lie: tuple[str, tuple[Any, ...]] | bytes) -> bytes:
    is_greeting = "Hello" in message.header.fields.values()
    told = ("s", (":1.1",)) if is_greeting else lie
    return (
        told
        if isinstance(told, bytes)
        else bytes(new_method_return(message, *told).serialise(serial=7))
    )


def memory() -> int:
    """The most that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.timeout(60)  # some would keep a reader busy for ever
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_on_the_bus_is_a_refusal(
    tmp_path: Path, lie: tuple[str, tuple[Any, ...]] | bytes
) -> None:
    with bus(tmp_path / "bus", lie):
        liar = ExportBus(tmp_path / "bus")
        before = memory()
        with pytest.raises(BackendError) as refused:
            liar.active()
        assert len(str(refused.value)) < 1000
        assert memory() - before < MOST_GROWTH
        assert liar.health() in (Health.GONE, Health.SILENT)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("said", [b"", b"OK 1234deadbeef\r\n"], ids=["nothing", "a greeting"])
def test_a_bus_that_falls_silent_is_given_up(tmp_path: Path, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "bus"))
        listening.listen()
        with ThreadPoolExecutor() as threads:
            asked = threads.submit(ExportBus(tmp_path / "bus", patience=0.5).active)
            link, _ = listening.accept()
            with link:
                link.sendall(said)
                with pytest.raises(OutcomeUnknown, match="did not answer ShowExports"):
                    asked.result()
