"""How requests are read that name clients, sessions and states (`cell/identities.c`): operations of
every shape hide nothing behind them."""

from __future__ import annotations

import ctypes
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from abaca.drivers.linux.file_services.nfs import nfs4
from abaca.drivers.linux.file_services.nfs.cell import library
from abaca.drivers.linux.file_services.nfs.nfs4 import Operation
from abaca.drivers.linux.file_services.nfs.rpc import LAST_FRAGMENT, auth_sys, call_message
from abaca.drivers.linux.file_services.nfs.xdr import opaque, text, u32, u64, words
from tests.nfs4 import operations as ops

EPOCH, NUMBER = 0x65000000, 7
CLIENT = EPOCH << 32 | NUMBER
SESSION = CLIENT.to_bytes(8, "little") + (3).to_bytes(8, "little")
STATE = u32(1) + CLIENT.to_bytes(8, "little") + (9).to_bytes(4, "little")
NOBODYS = bytes(16)
OWNER, STRANGER = (
    socket.inet_pton(socket.AF_INET6, f"::ffff:10.0.0.{number}") for number in (20, 66)
)
SECRET = "00112233445566778899aabbccddeeff"
ATTRIBUTES = ops.fattr(size=5, mode=0o644)

# Number and arguments, as RFC 7530 and RFC 8881 have them; in all their variants.
SHAPES = [
    (3, u32(63)), (4, u32(0) + NOBODYS), (5, u64(0) + u32(9)), (6, u32(2) + text("n") + ATTRIBUTES),
    (6, u32(5) + text("to") + text("n") + ATTRIBUTES),
    (6, u32(3) + u64(1) + text("n") + ATTRIBUTES), (7, u64(0)), (8, NOBODYS), (9, words([1, 2, 3])),
     (10, b""), (11, text("name")),
    (12, u32(1) + u32(0) + u64(0) + u64(9) + u32(1) + u32(0) + NOBODYS + u32(0) + u64(0)
     + text("owner")),
    (12, u32(1) + u32(0) + u64(0) + u64(9) + u32(0) + NOBODYS + u32(5)),
     (13, u32(1) + u64(0) + u64(9) + u64(0) + text("owner")),
    (14, u32(1) + u32(0) + NOBODYS + u64(0) + u64(9)), (15, text("a name")), (16, b""),
     (17, ATTRIBUTES),
    *((18, bytes(12) + u64(0) + text("o") + how + claim)
      for how in (u32(0), u32(1) + u32(0) + ATTRIBUTES, u32(1) + u32(2) + bytes(8),
       u32(1) + u32(3) + bytes(8) + ATTRIBUTES)
      for claim in (u32(0) + text("x"), u32(1) + u32(0), u32(2) + NOBODYS + text("x"),
       u32(3) + text("x"), u32(4), u32(5) + NOBODYS, u32(6))),
    (19, u32(0)), (20, NOBODYS + u32(1)), (21, NOBODYS + bytes(12)), (22, opaque(bytes(37))),
     (23, b""), (24, b""), (25, NOBODYS + u64(0) + u32(5)),
    (26, bytes(24) + words([1])), (27, b""), (28, text("x")), (29, text("x") + text("yyyyy")),
     (30, u64(0)), (31, b""), (32, b""), (33, text("x")),
    (34, NOBODYS + ATTRIBUTES), (36, u64(0) + bytes(8)), (37, ATTRIBUTES),
    (38, NOBODYS + u64(0) + u32(2) + opaque(bytes(range(256)) * 20 + b"x")),
     (39, u64(0) + text("owner")),
    (40, u32(0) + words([]) ), (41, bytes(16) + u32(1) + u32(0)),
    *((43, u64(0) + u32(1) + u32(0) + bytes(24) + words([]) + bytes(24) + words([7]) + u32(0)
       + security)
      for security in (u32(0), u32(1) + u32(0),
       u32(2) + u32(1) + u32(0) + text("m") + u32(0) * 2 + words([1, 2]) + u32(0),
                       u32(1) + u32(6) + u32(1) + opaque(b"abc") + opaque(b"d"))),
    (44, bytes(16)), (45, NOBODYS), (47, bytes(24) + words([1])), (48, bytes(24)),
    *((49, bytes(20) + NOBODYS + offset + time + u32(1) + opaque(b"abc"))
      for offset in (u32(0), u32(1) + u64(0)) for time in (u32(0), u32(1) + bytes(12))),
    (50, bytes(36) + NOBODYS + u32(0)),
     (51, bytes(12) + u32(1) + bytes(16) + NOBODYS + opaque(b"x")), (51, bytes(12) + u32(3)),
      (52, u32(0)),
    (53, bytes(32)), (55, u32(2) + NOBODYS * 2), (55, u32(0)), (58, u32(0)),
]  # fmt: skip
NAMED = {
    "a session to be ended": (44, SESSION),
    "a session": (53, SESSION + bytes(16)),
    "a connection's session": (41, SESSION + bytes(8)),
    "a client's lease": (30, u64(CLIENT)),
    "a client's session": (43, u64(CLIENT)),
    "an open file": (4, u32(0) + STATE),
    "a lock": (14, u32(1) + u32(0) + STATE),
}


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ctypes.CDLL]:
    found = build(tmp_path_factory.mktemp("code"))
    note(found, CLIENT, OWNER)
    yield found


def build(folder: Path, *flags: str) -> ctypes.CDLL:
    source, built = Path(library.__file__).parent / "identities.c", folder / "identities.so"
    subprocess.run(["gcc", *library.FLAGS, *flags, "-o", str(built), str(source)], check=True)
    return ctypes.CDLL(str(built))


def note(code: ctypes.CDLL, client: int, owner: bytes) -> None:
    """The answer that gives `owner` a client."""
    answer = (
        b"".join(map(u32, (LAST_FRAGMENT | 200, 1, 1, 0, 0, 0, 0, 0)))
        + text("a tag")
        + u32(1)
        + u32(42)
        + u32(0)
        + u64(client)
        + bytes(80)
    )
    code.read_answer(answer, len(answer), owner)


def asked(*operations: tuple[int, bytes], minor: int = 1) -> bytes:
    body = (
        text("a tag")
        + u32(minor)
        + u32(len(operations))
        + b"".join(u32(number) + arguments for number, arguments in operations)
    )
    return call_message(nfs4.PROGRAM, nfs4.VERSION, nfs4.COMPOUND, body, auth_sys(0, 0, (1, 2)))[1]


def read(
    code: ctypes.CDLL, message: bytes, sender: bytes, pieces: list[int] | None = None
) -> tuple[bool, bytes]:
    """(whether the connection goes on, the message afterwards); `pieces`: the lengths in which it
    comes."""
    state, kept = ctypes.create_string_buffer(512), b""
    code.begin_request(state)
    at = 0
    for length in [*(pieces or []), len(message)]:
        part = message[at : at + length]
        room = ctypes.create_string_buffer(part + b"guard", len(part) + 5)
        if part and code.read_request(state, room, ctypes.c_size_t(len(part)), sender):
            return False, kept
        assert room.raw[len(part) :] == b"guard"
        kept += room.raw[: len(part)]
        at += len(part)
    return True, kept


@pytest.mark.parametrize(("name", "named"), NAMED.items(), ids=NAMED)
def test_what_is_anothers_becomes_nobodys_behind_operations_of_every_shape(
    code: ctypes.CDLL, name: str, named: tuple[int, bytes]
) -> None:
    for shape in SHAPES:
        message = asked((53, bytes(32)), shape, shape, named)
        assert read(code, message, OWNER) == (True, message)
        end = (
            len(message)
            - len(named[1])
            + (len(named[1]) if named[0] in (44, 30, 43, 4, 14) else 16)
        )
        goes_on, kept = read(code, message, STRANGER)
        assert goes_on
        assert kept == message[: end - 4] + b"\xff" * 4 + message[end:], (name, shape)


def test_whatever_pieces_it_comes_in(code: ctypes.CDLL) -> None:
    generator = random.Random(5)
    for _ in range(2000):
        message = asked((53, bytes(32)), generator.choice(SHAPES), (44, SESSION))
        pieces = [generator.randrange(1, 60) for _ in range(200)]
        goes_on, kept = read(code, message, STRANGER, pieces)
        assert not goes_on or kept == message[:-4] + b"\xff" * 4
        assert read(code, message, OWNER, pieces) == (True, message)


def test_what_cannot_be_read_to_its_end_ends_the_connection(code: ctypes.CDLL) -> None:
    for number in (46, 54, 56):
        assert not read(code, asked((number, bytes(200)), (44, SESSION)), STRANGER)[0]
    assert not read(
        code,
        asked((18, bytes(12) + u64(0) + text("o") + u32(0) + u32(99)), (44, SESSION)),
        STRANGER,
    )[0]


def test_no_client_is_destroyed(code: ctypes.CDLL) -> None:
    message = asked((57, u64(CLIENT)), minor=1)
    for sender in (OWNER, STRANGER):
        assert read(code, message, sender) == (True, message[:-4] + b"\xff" * 4)


def test_clients_that_come_later_take_nobodys_identity(tmp_path: Path) -> None:
    """However many numbers one machine is given meanwhile: whatever of a number picks its place,
    some meet there."""
    code = build(tmp_path)
    message = asked((53, SESSION + bytes(16)))
    note(code, CLIENT, OWNER)
    for bits in range(8, 32):
        note(code, CLIENT + (1 << bits), STRANGER)
        assert read(code, message, OWNER) == (True, message), f"{1 << bits} clients later"
        assert read(code, message, STRANGER) != (True, message)


def test_a_client_that_has_gone_leaves_its_place(tmp_path: Path) -> None:
    code = build(tmp_path, "-DKEPT_SECONDS=0")
    note(code, CLIENT, OWNER)
    for bits in range(8, 32):
        later = CLIENT + (1 << bits)
        note(code, later, STRANGER)
        message = asked((30, u64(later)))
        assert read(code, message, STRANGER) == (True, message)


def test_what_no_bytes_break(code: ctypes.CDLL) -> None:
    generator = random.Random(7)
    for _ in range(5000):
        message = bytearray(asked(*generator.choices(SHAPES, k=3), (44, SESSION)))
        for _ in range(generator.randrange(1, 8)):
            message[generator.randrange(len(message))] = generator.randrange(256)
        read(
            code,
            bytes(message[: generator.randrange(len(message))]),
            STRANGER,
            [generator.randrange(1, 400) for _ in range(4)],
        )


def test_names_are_mixed_with_the_address(
    code: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABACA_SECRET", SECRET)
    for name in (b"Linux NFSv4.1 machine", b"Linux NFSv4.1 machinf", b"short", b"x" * 1000):
        operation = ops.exchange_id(name, bytes(8))
        message = asked(_pair(operation), (24, b""), (44, SESSION))
        own, others = read(code, message, OWNER), read(code, message, STRANGER)
        assert own == read(code, message, OWNER)
        assert own[0] and others[0]
        start = message.index(name)
        mixed = own[1][start : start + len(name)]
        assert len({mixed, others[1][start : start + len(name)], name}) == 3
        assert own[1] == message.replace(name, mixed)
        assert others[1].endswith(b"\xff" * 4)


def _pair(operation: Operation) -> tuple[int, bytes]:
    return operation.number, operation.arguments
