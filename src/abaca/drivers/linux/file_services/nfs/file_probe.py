"""Asking an NFS server for a file of each of some exports, as a client would: a server that its
storage has shut out answers everything else as ever."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterable

from abaca.drivers.linux.file_services.nfs import nfs4
from abaca.drivers.linux.file_services.nfs.nfs4 import Nfs4Error, lookup, putrootfh
from abaca.drivers.linux.file_services.nfs.rpc import Connection, auth_sys
from abaca.drivers.linux.file_services.nfs.xdr import Malformed

_SHUT_OUT = ("SERVERFAULT", "IO", "NXIO")


def is_shut_out(port: int, paths: Iterable[str], patience: float) -> bool:
    """Whether the server on this port of the loopback, in the calling thread's network namespace,
    fails to look for a file in one of these exports. Raises TimeoutError when it does not answer
    within `patience` seconds.

    Nothing there has the name that is asked for, so the storage is asked.
    """
    try:
        with _connected(port, patience) as link:
            connection = Connection(link, patience)
            return any(_fails(connection, path) for path in paths)
    except TimeoutError:
        raise
    except (OSError, Malformed):
        return False  # it takes no more connections, or has just ended


def _fails(connection: Connection, path: str) -> bool:
    names = [name for name in path.split("/") if name]
    asked = [putrootfh(), *map(lookup, names), lookup(f".{secrets.token_hex(16)}")]
    try:
        nfs4.compound(connection, asked, credentials=auth_sys(0, 0))
    except Nfs4Error as error:
        # One that is just being withdrawn, or published, is not there: its place is an earlier one.
        return error.place >= len(names) and error.name in _SHUT_OUT
    return False


def _connected(port: int, patience: float) -> socket.socket:
    link = socket.create_connection(("127.0.0.1", port), timeout=patience)
    link.settimeout(patience)
    return link
