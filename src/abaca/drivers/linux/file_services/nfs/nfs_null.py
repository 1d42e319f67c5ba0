"""Asking an NFS server the one thing that needs no rights and no disk: version 4's NULL procedure, over TCP, with one bounded wait."""

from __future__ import annotations

import socket

from abaca.drivers.linux.file_services.nfs.nfs4 import NULL, PROGRAM, VERSION
from abaca.drivers.linux.file_services.nfs.rpc import Connection
from abaca.drivers.linux.file_services.nfs.xdr import Malformed


def answers(port: int, patience: float) -> bool:
    """Whether an NFS server on this port of the loopback, in the calling thread's network namespace, answers within `patience` seconds."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=patience) as link:
            Connection(link, patience).call(PROGRAM, VERSION, NULL, b"")
            return True
    except (OSError, Malformed):
        return False
