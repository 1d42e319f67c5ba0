"""Requests that no NFS server can read, a kind a name; each call gives the bytes of one more."""

from __future__ import annotations

import os
from collections.abc import Callable

from abaca.drivers.linux.file_services.nfs.nfs4 import COMPOUND, PROGRAM, VERSION
from abaca.drivers.linux.file_services.nfs.rpc import auth_sys, call_message, record
from abaca.drivers.linux.file_services.nfs.xdr import opaque, text, u32
from tests.nfs4.connection import connect


def _call(
    body: bytes, program: int = PROGRAM, version: int = VERSION, procedure: int = COMPOUND
) -> bytes:
    return record(call_message(program, version, procedure, body, auth_sys(0, 0))[1])


def _head(*words: int) -> bytes:
    return record(b"".join(map(u32, (1, *words))))


NONSENSE: dict[str, Callable[[], bytes]] = {
    "no COMPOUND": lambda: _call(b""),
    "a COMPOUND cut off": lambda: _call(text("") + u32(0) + u32(3) + u32(22)),
    "a million operations": lambda: _call(text("") + u32(0) + u32(1_000_000)),
    "a tag without end": lambda: _call(u32(0xFFFFFFFF) + b"xx"),
    "an operation that is none": lambda: _call(text("") + u32(0) + u32(1) + u32(4711)),
    "a minor version that is none": lambda: _call(text("") + u32(99) + u32(0)),
    "a handle of 4 GiB": lambda: _call(text("") + u32(0) + u32(1) + u32(22) + u32(0xFFFFFFFF)),
    "a procedure that is none": lambda: _call(b"", procedure=77),
    "version 3": lambda: _call(b"", version=3),
    "a program that is none": lambda: _call(b"", program=300000),
    "RPC version 7": lambda: _head(0, 7, PROGRAM, VERSION, COMPOUND, 0, 0, 0, 0),
    "a reply": lambda: _head(1, 0, 0, 0, 0),
    "credentials that are none": lambda: _head(0, 2, PROGRAM, VERSION, COMPOUND, 77, 0, 0, 0),
    "credentials too long": lambda: (
        _head(0, 2, PROGRAM, VERSION, COMPOUND, 1) + opaque(bytes(4000))
    ),
    "an empty record": lambda: u32(1 << 31),
    "half a header": lambda: record(b"\0" * 6),
    "random bytes": lambda: os.urandom(64),
}


def send(netns: str, address: str, what: Callable[[], bytes], count: int) -> None:
    """So many of a kind, over one connection, as far as the server takes them."""
    link = connect(netns, address, patience=5.0)
    try:
        link.sendall(b"".join(what() for _ in range(count)))
        link.settimeout(0.05)
        while link.recv(65536):
            pass
    except OSError:  # it hung up, or has nothing more to say
        pass
    finally:
        link.close()
