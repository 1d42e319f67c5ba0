"""Operations that change something or hold state, beside those of the product: each function gives
one operation of a COMPOUND."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from abaca.drivers.linux.file_services.nfs.nfs4 import ANONYMOUS, Operation, attributes, bitmap
from abaca.drivers.linux.file_services.nfs.nfs4_sessions import create_session as create_session
from abaca.drivers.linux.file_services.nfs.nfs4_sessions import exchange_id as exchange_id
from abaca.drivers.linux.file_services.nfs.nfs4_sessions import sequence as sequence
from abaca.drivers.linux.file_services.nfs.xdr import Reader, fixed, opaque, text, u32, u64, words

READ, WRITE, BOTH = 1, 2, 3  # access of OPEN
READ_LOCK, WRITE_LOCK = 1, 2
UNSTABLE, DATA_SYNC, FILE_SYNC = 0, 1, 2
WHOLE = 0xFFFFFFFFFFFFFFFF  # length of a lock to the end of the file
MUST_CONFIRM = 2  # flag of an OPEN's answer
REGULAR, DIRECTORY, SYMLINK = 1, 2, 5


@dataclass
class Opened:
    stateid: bytes
    flags: int


def stateid(reader: Reader) -> bytes:
    return reader.fixed(16)


# -- attributes to set --


def fattr(
    size: int | None = None,
    mode: int | None = None,
    owner: str | None = None,
    group: str | None = None,
) -> bytes:
    """What SETATTR, CREATE and OPEN take; sizes in bytes."""
    given = [(4, size, u64), (33, mode, u32), (36, owner, text), (37, group, text)]
    chosen = [(number, encode(value)) for number, value, encode in given if value is not None]  # type: ignore[operator]
    bits = sum(1 << number for number, _ in chosen)
    return words([bits & 0xFFFFFFFF, bits >> 32]) + opaque(b"".join(value for _, value in chosen))


def setattr(attrs: bytes, using: bytes = ANONYMOUS) -> Operation:
    return Operation(34, using + attrs)


# -- names --


def savefh() -> Operation:
    return Operation(32)


def lookupp() -> Operation:
    return Operation(16)


def create(name: str, kind: int = DIRECTORY, *, target: str = "", mode: int = 0o755) -> Operation:
    """A folder, or a symbolic link to `target`, in the current folder; it is the current object
    afterwards."""
    return Operation(
        6,
        u32(kind) + (text(target) if kind == SYMLINK else b"") + text(name) + fattr(mode=mode),
        _change,
    )


def link(name: str) -> Operation:
    """A name in the current folder for the saved object."""
    return Operation(11, text(name), _change)


def rename(old: str, new: str) -> Operation:
    """From the saved folder to the current one."""
    return Operation(29, text(old) + text(new))


def remove(name: str) -> Operation:
    return Operation(28, text(name), _change)


def readlink() -> Operation:
    return Operation(27, read=Reader.text)


def access(wanted: int = 0x3F) -> Operation:
    """The result is (supported, allowed)."""
    return Operation(3, u32(wanted), lambda reader: (reader.u32(), reader.u32()))


def readdir(
    *names: str, cookie: int = 0, verifier: bytes = bytes(8), most_bytes: int = 65536
) -> Operation:
    """The result is ([(name, cookie, attributes)], verifier, whether that was the end)."""

    def answer(reader: Reader) -> Any:
        given, found = reader.fixed(8), []
        while reader.u32():
            at, name = reader.u64(), reader.text()
            found.append((name, at, attributes(reader)))
        return found, given, bool(reader.u32())

    return Operation(
        26, u64(cookie) + verifier + u32(most_bytes) + u32(most_bytes) + bitmap(names), answer
    )


def _change(reader: Reader) -> None:
    reader.fixed(20)


# -- files --


def open_(
    owner: bytes,
    client_id: int,
    how: bytes,
    claim: bytes,
    *,
    seqid: int = 0,
    share: int = BOTH,
    deny: int = 0,
) -> Operation:
    """`how` by `existing()` or `created()`, `claim` by `by_name()` or `reclaimed()`."""
    return Operation(
        18,
        u32(seqid) + u32(share) + u32(deny) + u64(client_id) + opaque(owner) + how + claim,
        _opened,
    )


def existing() -> bytes:
    return u32(0)


def created(attrs: bytes | None = None, *, exclusive: bool = False) -> bytes:
    return u32(1) + u32(1 if exclusive else 0) + (fattr(mode=0o644) if attrs is None else attrs)


def by_name(name: str) -> bytes:
    return u32(0) + text(name)


def reclaimed() -> bytes:
    """The current object, which was open before the server went away, without a delegation."""
    return u32(1) + u32(0)


def _opened(reader: Reader) -> Opened:
    given = stateid(reader)
    reader.fixed(20)  # what changed in the folder
    flags = reader.u32()
    reader.words()  # attributes that were set
    delegation = reader.u32()
    if delegation == 3:  # none, and why (4.1)
        if reader.u32() in (1, 2):
            reader.u32()
    elif delegation != 0:
        raise AssertionError("a delegation was given, although none are configured")
    return Opened(given, flags)


def open_confirm(of: bytes, seqid: int) -> Operation:
    return Operation(20, of + u32(seqid), stateid)


def close(of: bytes, seqid: int = 0) -> Operation:
    return Operation(4, u32(seqid) + of, stateid)


def write(offset: int, data: bytes, using: bytes = ANONYMOUS, stable: int = FILE_SYNC) -> Operation:
    """The result is (bytes written, how stable, verifier)."""
    return Operation(
        38,
        using + u64(offset) + u32(stable) + opaque(data),
        lambda reader: (reader.u32(), reader.u32(), reader.fixed(8)),
    )


def commit(offset: int = 0, count: int = 0) -> Operation:
    return Operation(5, u64(offset) + u32(count), lambda reader: reader.fixed(8))


def lock_first(
    opened: bytes,
    client_id: int,
    owner: bytes,
    *,
    kind: int = WRITE_LOCK,
    offset: int = 0,
    length: int = WHOLE,
    reclaim: bool = False,
    seqid: int = 0,
) -> Operation:
    """A lock owner's first lock on an open file; the result is the stateid of its locks there."""
    locker = u32(1) + u32(seqid) + opened + u32(0) + u64(client_id) + opaque(owner)
    return Operation(12, u32(kind) + u32(reclaim) + u64(offset) + u64(length) + locker, stateid)


def lock_more(
    held: bytes,
    *,
    kind: int = WRITE_LOCK,
    offset: int = 0,
    length: int = WHOLE,
    reclaim: bool = False,
    seqid: int = 0,
) -> Operation:
    return Operation(
        12,
        u32(kind) + u32(reclaim) + u64(offset) + u64(length) + u32(0) + held + u32(seqid),
        stateid,
    )


def locku(held: bytes, *, offset: int = 0, length: int = WHOLE, seqid: int = 0) -> Operation:
    return Operation(14, u32(WRITE_LOCK) + u32(seqid) + held + u64(offset) + u64(length), stateid)


# -- clients: 4.0 --


def setclientid(
    name: bytes,
    verifier: bytes,
    callback: tuple[str, str] = ("tcp", "0.0.0.0.0.0"),
    program: int = 0x40000000,
) -> Operation:
    """`callback`: (netid, universal address) where the client wants to be called. The result is
    (client id, verifier to confirm with)."""
    arguments = (
        fixed(verifier)
        + opaque(name)
        + u32(program)
        + text(callback[0])
        + text(callback[1])
        + u32(1)
    )
    return Operation(35, arguments, lambda reader: (reader.u64(), reader.fixed(8)))


def setclientid_confirm(client_id: int, verifier: bytes) -> Operation:
    return Operation(36, u64(client_id) + fixed(verifier))


def renew(client_id: int) -> Operation:
    return Operation(30, u64(client_id))


# -- clients and sessions: 4.1 --


def reclaim_complete() -> Operation:
    return Operation(58, u32(0))


def bind_conn_to_session(session: bytes) -> Operation:
    return Operation(41, fixed(session) + u32(1) + u32(0), lambda reader: reader.fixed(24))


def destroy_session(session: bytes) -> Operation:
    return Operation(44, fixed(session))


def destroy_clientid(client_id: int) -> Operation:
    return Operation(57, u64(client_id))


def free_stateid(of: bytes) -> Operation:
    return Operation(45, of)
