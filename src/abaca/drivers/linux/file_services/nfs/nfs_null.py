"""Asking an NFS server the one thing that needs no rights and no disk: version 4's NULL procedure,
over TCP, with one bounded wait."""

from __future__ import annotations

import socket
import time

from abaca.drivers.linux.file_services.nfs.nfs4 import NULL, PROGRAM, VERSION
from abaca.drivers.linux.file_services.nfs.rpc import Connection
from abaca.drivers.linux.file_services.nfs.xdr import Malformed
from abaca.errors import Unavailable

MOST_LATE_SECONDS = 0.5


class Starved(Unavailable):
    """The prober was woken much later than it had asked for: its own process is what did not
    run."""


def answers(port: int, patience: float) -> bool:
    """Whether an NFS server on this port of the loopback, in the calling thread's network
    namespace, answers within `patience` seconds.

    That it closes the connection is an answer, too: it has as many as it takes. Raises Starved when
    this thread got so little time itself that no answer means nothing.
    """
    started = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=patience) as link:
            left = patience - (time.monotonic() - started)
            Connection(link, max(left, 0)).call(PROGRAM, VERSION, NULL, b"")
            return True
    except (ConnectionResetError, BrokenPipeError):
        return True
    except (OSError, Malformed):
        late = time.monotonic() - started - patience
        if late > MOST_LATE_SECONDS:
            raise Starved(
                f"the worker gets too little time to tell: a wait of {patience:g} s took "
                f"{late:.1f} s more"
            ) from None
        return False
