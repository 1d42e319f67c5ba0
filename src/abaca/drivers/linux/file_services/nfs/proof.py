"""The proof at run time: an NFS server of this release, on this machine, opens no handle that a
client made up, lets nobody use another client's session, and ends connections that take too much.

Asked of a server that a back end makes for that alone each time it starts, by NFS over the loopback
of its network namespace; so an update of Ganesha, the C library or the kernel that opens the wall
is noticed before any tenant's server is touched. What the walls are: `cell/handles.c`,
`identities.c`, `connections.c`.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from abaca.drivers.linux import namespaces
from abaca.drivers.linux.file_services.interface import PROOF_OWN
from abaca.drivers.linux.file_services.nfs import nfs4
from abaca.drivers.linux.file_services.nfs.exports import SHARES
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, getattr, putfh, walk
from abaca.drivers.linux.file_services.nfs.nfs4_sessions import (
    create_session,
    exchange_id,
    sequence,
)
from abaca.drivers.linux.file_services.nfs.rpc import LAST_FRAGMENT, Connection, auth_sys
from abaca.drivers.linux.file_services.nfs.xdr import Malformed, u32
from abaca.errors import Unavailable
from abaca.values import AccessRule

ADDRESS, PORT, SOURCE_PORT = "127.0.0.1", 2049, 1023
RULES = [AccessRule(id="proof", access_type="ip", access_to=ADDRESS, access_level="ro")]
SOMEBODY_ELSE = "127.0.0.2"
_NAME, _VERIFIER = b"abaca proves its walls", bytes(8)
_TOO_LONG = 4 << 20  # bytes of a request

TOP = 5  # the subvolume that every other one is in
_BTRFS, _KERNEL = 0x4D, struct.Struct("<QQI")  # inode, subvolume, generation
_FSID = slice(6, 14)
_LENGTH_AT, _CEPH_AT, _CEPH = 4, 5, struct.Struct("<QQQ")  # inode, snapshot, file system
_NO_SNAPSHOT, _SNAPSHOT_FOLDER, _ANY_SNAPSHOT = 2**64 - 2, 2**64 - 1, 2
_CEPH_ROOT = 1  # the inode of the file system's root
_DUMMY = bytes([9, 0x64])  # length and kind of a handle that aborts Ganesha 4.3


def require(namespace: str, numbers: Mapping[str, int], patience: float) -> None:
    """Raise Unavailable unless the NFS server of this network namespace opens the honest handle of
    PROOF_OWN, and none that is forged, and keeps clients apart and within bounds.

    `numbers`: of the subvolumes PROOF_OWN and PROOF_OTHER. `patience`: seconds for each answer.
    """
    wrong: list[str] = []
    try:
        with _connected(namespace, patience) as link:
            for fault in _wrong(link, numbers):
                wrong.append(fault)
        with (
            _connected(namespace, patience) as own,
            _connected(namespace, patience, SOMEBODY_ELSE) as other,
        ):
            wrong += _wrong_about_clients(own, other)
        with _connected(namespace, patience) as link:
            if not _ends(link, _TOO_LONG):
                wrong.append("waits for a request without end")
        with _connected(namespace, patience) as link:
            _handle(link)  # it lives
    except (OSError, Nfs4Error, Malformed) as error:
        wrong.append(f"does not answer: {error}")
    if wrong:
        raise Unavailable(
            "no NFS server is started, because one on this machine failed the self-test: it "
            f"{'; '.join(wrong)}"
        )


def forged(handle: bytes, numbers: Mapping[str, int]) -> dict[str, bytes]:
    """What a client can make of its own handle, by what it aims at. Raises Malformed when the
    handle is of another kind than is known here."""
    if len(handle) > _CEPH_AT + _CEPH.size - 1 and handle[_LENGTH_AT] == _CEPH.size:
        return _forged_of_ceph(handle, numbers)
    head, kernel = handle[: -_KERNEL.size], handle[-_KERNEL.size :]
    if len(head) <= _FSID.stop or head[-1] != _BTRFS:
        raise Malformed(f"this release of Ganesha makes handles that are not known: {handle.hex()}")
    inode, own, generation = _KERNEL.unpack(kernel)
    made = {
        f"{name} ({number})": number for name, number in {**numbers, "the pool's top": TOP}.items()
    }
    aims = {
        f"{name}{how}": head + _KERNEL.pack(inode, number, version)
        for name, number in made.items()
        for how, version in (("", generation), (" at any age", 0))
    }
    if own:
        aims["its own, which tells of its subvolume"] = handle
    return aims


def _forged_of_ceph(handle: bytes, numbers: Mapping[str, int]) -> dict[str, bytes]:
    """Inodes of others, and snapshots of any inode: Ceph looks at the former only."""
    inode, snapshot, filesystem = _CEPH.unpack(handle[_CEPH_AT:])
    if snapshot != _NO_SNAPSHOT:
        raise Malformed(f"this release of Ganesha makes handles that are not known: {handle.hex()}")
    made = {**numbers, "the file system's root": _CEPH_ROOT}
    aims = {
        f"{name} ({number}){how}": (number, snapshot)
        for name, number in made.items()
        for how, snapshot in (
            ("", _NO_SNAPSHOT),
            (" in a snapshot", _ANY_SNAPSHOT),
            (" as snapshots", _SNAPSHOT_FOLDER),
        )
        if number != inode or snapshot != _NO_SNAPSHOT
    }
    return {name: handle[:_CEPH_AT] + _CEPH.pack(*aim, filesystem) for name, aim in aims.items()}


def _wrong(link: Connection, numbers: Mapping[str, int]) -> Iterator[str]:
    handle = _handle(link)
    if not _opens(link, handle):
        yield "refuses an honest handle"
    for aim, made in forged(handle, numbers).items():
        if _opens(link, made):
            yield f"opens a forged handle of {aim}"
    if _opens(link, handle[:4] + _DUMMY + handle[_FSID]):
        yield "opens a handle of no kind"


def _wrong_about_clients(own: Connection, other: Connection) -> Iterator[str]:
    """`own` and `other` come from two addresses."""
    client, number, *_ = nfs4.compound(own, [exchange_id(_NAME, _VERIFIER)], minor=1)[0]
    session = nfs4.compound(own, [create_session(client, number)], minor=1)[0]
    impostor, *_ = nfs4.compound(other, [exchange_id(_NAME, _VERIFIER)], minor=1)[0]
    if impostor == client:
        yield "gives a client to whoever knows its name"
    try:
        nfs4.compound(other, [sequence(session, 1)], minor=1)
        yield "believes anybody about whose a session is"
    except Nfs4Error:
        nfs4.compound(own, [sequence(session, 1)], minor=1)


def _ends(link: Connection, length: int) -> bool:
    """Whether the server ends a connection that announces a request of so many bytes."""
    link.link.sendall(u32(LAST_FRAGMENT | length))
    try:
        return link.link.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


@contextmanager
def _connected(namespace: str, patience: float, source: str = ADDRESS) -> Iterator[Connection]:
    def dial(_: object) -> socket.socket:
        link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # the port is free again at once
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.settimeout(patience)
        link.bind((source, SOURCE_PORT))
        link.connect((ADDRESS, PORT))
        return link

    with namespaces.inside(namespace, dial) as link:
        yield Connection(link, patience)


def _handle(link: Connection) -> bytes:
    return bytes(
        nfs4.compound(link, walk(f"/{SHARES}/{PROOF_OWN}"), credentials=auth_sys(0, 0))[-1]
    )


def _opens(link: Connection, handle: bytes) -> bool:
    try:
        nfs4.compound(link, [putfh(handle), getattr("type")], credentials=auth_sys(0, 0))
    except Nfs4Error:
        return False
    return True
