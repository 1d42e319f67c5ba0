"""What the worker makes of a captured NFS server's bus: whatever it answers is a refusal, and the server counts as gone."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jeepney import MessageType, new_method_return
from jeepney.low_level import Message, Parser

from abaca.drivers.linux.file_services.nfs.exports import ExportBus
from abaca.drivers.linux.file_services.nfs.vigil import Health
from abaca.errors import BackendError

NOT_LITTLE_NOR_BIG = b"x" * 64
TEXT_WITHOUT_END = b"l\2\1\1\x0c\0\0\0\7\0\0\0\x0f\0\0\0\5\1u\0\1\0\0\0\x08\1g\0\1s\0\0\3\0\0\0textmore"
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
    "a header without a type": b"l\2\1\1" + bytes(4) + b"\1\0\0\0" + b"\x08\0\0\0" + b"\5\1\xff\0" + bytes(20),
}


@contextmanager
def bus(path: Path, lie: tuple[str, tuple[Any, ...]] | bytes) -> Iterator[None]:
    """A bus at `path` that greets as buses do and answers each other call with `lie`: a signature and values, or bytes."""
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
    return told if isinstance(told, bytes) else bytes(new_method_return(message, *told).serialise(serial=7))


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_on_the_bus_is_a_refusal(tmp_path: Path, lie: tuple[str, tuple[Any, ...]] | bytes) -> None:
    with bus(tmp_path / "bus", lie):
        liar = ExportBus(tmp_path / "bus")
        with pytest.raises(BackendError) as refused:
            liar.active()
        assert len(str(refused.value)) < 1000
        assert liar.health() in (Health.GONE, Health.SILENT)
