"""NFS version 4.1: how a client becomes known, gets a session and uses it, as operations of a
COMPOUND."""

from __future__ import annotations

from abaca.drivers.linux.file_services.nfs.nfs4 import Operation
from abaca.drivers.linux.file_services.nfs.xdr import Reader, fixed, opaque, u32, u64


def exchange_id(name: bytes, verifier: bytes, flags: int = 0) -> Operation:
    """The result is (client id, sequence, flags, (server owner, scope))."""

    def answer(reader: Reader) -> tuple[int, int, int, tuple[bytes, bytes]]:
        client_id, sequence, given = reader.u64(), reader.u32(), reader.u32()
        reader.u32(), reader.u64()  # how state is protected: not; the minor id of the server
        return client_id, sequence, given, (reader.opaque(), reader.opaque())

    return Operation(42, fixed(verifier) + opaque(name) + u32(flags) + u32(0) + u32(0), answer)


def create_session(
    client_id: int,
    sequence: int,
    *,
    slots: int = 1,
    most_bytes: int = 1024**2 + 4096,
    back_channel: bool = False,
) -> Operation:
    """The result is the session's id."""

    def answer(reader: Reader) -> bytes:
        return reader.fixed(16)

    fore, back = (
        b"".join(map(u32, (0, size, size, 4096, 64, count, 0)))
        for size, count in ((most_bytes, slots), (4096, 1))
    )
    return Operation(
        43,
        u64(client_id)
        + u32(sequence)
        + u32(2 if back_channel else 0)
        + fore
        + back
        + u32(0x40000000)
        + u32(1)
        + u32(0),
        answer,
    )


def sequence(session: bytes, number: int, slot: int = 0) -> Operation:
    """The result is the status flags."""

    def answer(reader: Reader) -> int:
        reader.fixed(16), reader.fixed(16)  # session; sequence, slot, highest and target slot
        return reader.u32()

    return Operation(53, fixed(session) + u32(number) + u32(slot) + u32(slot) + u32(0), answer)
