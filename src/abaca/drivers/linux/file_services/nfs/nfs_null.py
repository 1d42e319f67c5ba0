"""Asking an NFS server the one thing that needs no rights and no disk: version 4's NULL procedure, over TCP, with one bounded wait."""

from __future__ import annotations

import socket
import struct

NFS_PROGRAM, NFS_VERSION, NULL = 100003, 4, 0
CALL, RPC_VERSION, AUTH_NONE = 0, 2, 0
LAST_FRAGMENT = 1 << 31
TRANSACTION = 0x41424143
# Transaction, kind, RPC version, program, version, procedure, then empty credentials and an empty verifier.
_CALL = struct.pack(">10I", TRANSACTION, CALL, RPC_VERSION, NFS_PROGRAM, NFS_VERSION, NULL, AUTH_NONE, 0, AUTH_NONE, 0)
_ACCEPTED = struct.pack(">3I", TRANSACTION, 1, 0)  # transaction, reply, accepted


def answers(port: int, patience: float) -> bool:
    """Whether an NFS server on this port of the loopback, in the calling thread's network namespace, answers within `patience` seconds."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
            connection.sendall(struct.pack(">I", LAST_FRAGMENT | len(_CALL)) + _CALL)
            with connection.makefile("rb") as replies:
                return replies.read(4 + len(_ACCEPTED))[4:] == _ACCEPTED
    except OSError:
        return False
