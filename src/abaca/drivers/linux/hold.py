"""Making the clients of one share server wait for a moment: what they send to its NFS server is
dropped, and sent again by their TCP.

The kernel ends it after `MOST_SECONDS` by itself, whatever has become of the worker: before the
leases of clients (10 s) run out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from abaca.drivers.linux import namespaces, packet_filter, processes

TABLE = ("inet", "abaca_hold")
MOST_SECONDS = 5
SETTLE_SECONDS = 0.02  # from the last packet until the NFS server has taken it up
MOST_UNDER_WAY_SECONDS = 1.0
# The loopback stays open: by it the worker asks whether the NFS server serves.
_FILTER = f"""\
set held {{ type inet_service; flags timeout; elements = {{ 2049 timeout {MOST_SECONDS}s }}; }}
chain arriving {{
    type filter hook input priority raw; policy accept;
    iif != lo tcp dport @held drop
}}
"""


@contextmanager
def clients_wait(namespace: str, is_idle: Callable[[], bool]) -> Iterator[None]:
    """Clients of the share server in this namespace wait while the block runs, and see no error.
    Keep it short.

    It begins when the NFS server is idle: what clients had asked before is answered, or takes more
    than a second.
    """
    namespaces.inside(namespace, lambda _: packet_filter.replace_table(*TABLE, _FILTER))
    try:
        threading.Event().wait(SETTLE_SECONDS)
        processes.wait_until(is_idle, MOST_UNDER_WAY_SECONDS)
        yield
    finally:
        release(namespace)


def release(namespace: str) -> None:
    """Let them go on; also after a worker that died over it."""
    namespaces.inside(namespace, lambda _: packet_filter.delete_table(*TABLE))
