"""NFS version 4: COMPOUND, and the operations that a server can be asked without any state. Enough
to look at what a client could see.

An operation is its bytes and how its result is read; a client with opens and locks adds operations
of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from abaca.drivers.linux.file_services.nfs.rpc import NO_AUTHENTICATION, Connection
from abaca.drivers.linux.file_services.nfs.xdr import (
    Malformed,
    Reader,
    opaque,
    text,
    u32,
    u64,
    words,
)

PROGRAM, VERSION, NULL, COMPOUND = 100003, 4, 0, 1
OK = 0
ANONYMOUS = bytes(16)  # the stateid of a client that has opened nothing

STATUS_NAMES = {
    0: "OK",
    1: "PERM",
    2: "NOENT",
    5: "IO",
    6: "NXIO",
    13: "ACCESS",
    17: "EXIST",
    18: "XDEV",
    20: "NOTDIR",
    21: "ISDIR",
    22: "INVAL",
    27: "FBIG",
    28: "NOSPC",
    30: "ROFS",
    31: "MLINK",
    63: "NAMETOOLONG",
    66: "NOTEMPTY",
    69: "DQUOT",
    70: "STALE",
    10001: "BADHANDLE",
    10003: "BAD_COOKIE",
    10004: "NOTSUPP",
    10005: "TOOSMALL",
    10006: "SERVERFAULT",
    10008: "DELAY",
    10010: "DENIED",
    10011: "EXPIRED",
    10012: "LOCKED",
    10013: "GRACE",
    10014: "FHEXPIRED",
    10015: "SHARE_DENIED",
    10016: "WRONGSEC",
    10017: "CLID_INUSE",
    10018: "RESOURCE",
    10020: "NOFILEHANDLE",
    10021: "MINOR_VERS_MISMATCH",
    10022: "STALE_CLIENTID",
    10023: "STALE_STATEID",
    10024: "OLD_STATEID",
    10025: "BAD_STATEID",
    10026: "BAD_SEQID",
    10029: "SYMLINK",
    10032: "ATTRNOTSUPP",
    10033: "NO_GRACE",
    10034: "RECLAIM_BAD",
    10036: "BADXDR",
    10040: "BADNAME",
    10041: "BADCHAR",
    10044: "OP_ILLEGAL",
    10046: "FILE_OPEN",
    10052: "BADSESSION",
    10053: "BADSLOT",
    10054: "COMPLETE_ALREADY",
    10055: "CONN_NOT_BOUND_TO_SESSION",
    10063: "SEQ_MISORDERED",
    10070: "TOO_MANY_OPS",
    10071: "OP_NOT_IN_SESSION",
    10074: "CLIENTID_BUSY",
    10078: "REQ_TOO_BIG",
    10095: "NOXATTR",
}


class Nfs4Error(Exception):
    """An operation was refused. `name` is the protocol's without its prefix: `STALE`; `place` the
    number of the operation in its COMPOUND."""

    def __init__(self, status: int, place: int = 0) -> None:
        self.name = STATUS_NAMES.get(status, str(status))
        self.status = status
        self.place = place
        super().__init__(f"NFS4ERR_{self.name} for operation {place}")


@dataclass(frozen=True)
class Operation:
    number: int
    arguments: bytes = b""
    read: Callable[[Reader], Any] = lambda reader: None


def compound(
    link: Connection,
    operations: Iterable[Operation],
    *,
    minor: int = 0,
    credentials: bytes = NO_AUTHENTICATION,
) -> list[Any]:
    """The results of the operations in turn. Raises Nfs4Error for the first that was refused, and
    what `Connection.call` raises."""
    wanted = list(operations)
    body = (
        text("")
        + u32(minor)
        + u32(len(wanted))
        + b"".join(u32(each.number) + each.arguments for each in wanted)
    )
    return results(link.call(PROGRAM, VERSION, COMPOUND, body, credentials), wanted)


def results(answer: Reader, wanted: list[Operation]) -> list[Any]:
    status, _, count = answer.u32(), answer.opaque(), answer.u32()
    found = []
    for place, operation in zip(range(count), wanted, strict=False):
        number, outcome = answer.u32(), answer.u32()
        if outcome != OK:
            raise Nfs4Error(outcome, place)
        if number != operation.number:
            raise Malformed(f"operation {number} was answered in place of {operation.number}")
        found.append(operation.read(answer))
    if status != OK:
        raise Nfs4Error(status, count)
    return found


def putrootfh() -> Operation:
    return Operation(24)


def putfh(handle: bytes) -> Operation:
    return Operation(22, opaque(handle))


def lookup(name: str) -> Operation:
    return Operation(15, text(name))


def getfh() -> Operation:
    return Operation(10, read=Reader.opaque)


def walk(path: str) -> list[Operation]:
    """From the root of the server to `path`; the last result is its handle."""
    return [putrootfh(), *(lookup(name) for name in path.split("/") if name), getfh()]


def read(offset: int, count: int, stateid: bytes = ANONYMOUS) -> Operation:
    """The result is (data, whether the file ends there)."""

    def answer(reader: Reader) -> tuple[bytes, bool]:
        is_end = bool(reader.u32())
        return reader.opaque(), is_end

    return Operation(25, stateid + u64(offset) + u32(count), answer)


def getattr(*names: str) -> Operation:
    """The result is a dict; what the server does not know is left out. Names are those of
    `ATTRIBUTES`."""
    return Operation(9, bitmap(names), attributes)


def _time(reader: Reader) -> float:
    return reader.u64() + reader.u32() / 1e9


# Number and type of the attributes that are read here.
ATTRIBUTES: dict[str, tuple[int, Callable[[Reader], Any]]] = {
    "type": (1, Reader.u32),
    "change": (3, Reader.u64),
    "size": (4, Reader.u64),
    "fsid": (8, lambda reader: (reader.u64(), reader.u64())),
    "lease_time": (10, Reader.u32),
    "filehandle": (19, Reader.opaque),
    "fileid": (20, Reader.u64),
    "files_avail": (21, Reader.u64),
    "files_free": (22, Reader.u64),
    "files_total": (23, Reader.u64),
    "maxread": (30, Reader.u64),
    "maxwrite": (31, Reader.u64),
    "mode": (33, Reader.u32),
    "numlinks": (35, Reader.u32),
    "owner": (36, Reader.text),
    "owner_group": (37, Reader.text),
    "space_avail": (42, Reader.u64),
    "space_free": (43, Reader.u64),
    "space_total": (44, Reader.u64),
    "space_used": (45, Reader.u64),
    "time_access": (47, _time),
    "time_metadata": (52, _time),
    "time_modify": (53, _time),
}


def bitmap(names: Iterable[str]) -> bytes:
    bits = sum(1 << ATTRIBUTES[name][0] for name in names)
    return words([bits >> 32 * word & 0xFFFFFFFF for word in range((bits.bit_length() + 31) // 32)])


def attributes(reader: Reader) -> dict[str, Any]:
    bits = sum(word << 32 * place for place, word in enumerate(reader.words()))
    values = Reader(reader.opaque())
    return {
        name: read_value(values)
        for name, (number, read_value) in ATTRIBUTES.items()
        if bits >> number & 1
    }
