"""What the operations of this worker work with: its drivers, the network plug-in and the locks of
its share servers.

Set once by the worker before work is taken; there is one worker per process, as there is one DBOS.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from sqlalchemy.engine import Engine

from abaca.db.encryption import Cipher
from abaca.domain.shares import share_instances
from abaca.drivers.interface import ShareDriver
from abaca.errors import Unavailable
from abaca.networks.interface import NetworkPlugin
from abaca.values import Host
from abaca.workflow.locks import ServerLocks
from abaca.workflow.steps import look


@dataclass(frozen=True)
class Serving:
    """`worker_host`: whose queue the work comes from. `drivers`: host@backend → driver. `engine`,
    `cipher`: for the secrets that a call of a driver needs; see `driver_calls`. `backup_seconds`:
    how long a backup, or restoring one, may take."""

    worker_host: str
    drivers: dict[str, ShareDriver]
    networks: NetworkPlugin
    engine: Engine
    cipher: Cipher
    locks: ServerLocks = field(default_factory=ServerLocks)
    backup_seconds: float = 86_400.0

    def driver(self, host: str) -> ShareDriver:
        """The driver of `host@backend` or `host@backend#pool`. Unavailable when this worker does
        not serve it (any more)."""
        service = Host.parse(host).service
        if service not in self.drivers:
            raise Unavailable(f"The back end {service} is not served by this worker.")
        return self.drivers[service]


ALL_SHARES, ONE_SHARE = "all shares of the back end", "this share"
"""What locks other than those of share servers are of, as projects read it: no hosts."""

_current: Serving | None = None


def start(serving: Serving) -> None:
    """The operations of this process work with this from now on."""
    global _current
    _current = serving


def current() -> Serving:
    """What this process serves. RuntimeError outside a worker."""
    if _current is None:
        raise RuntimeError("this process serves nothing")
    return _current


@contextmanager
def server_of_share(instance_id: str) -> Iterator[None]:
    """Hold the share server of a share instance, shared with the other work on its shares. Where
    there is none: the back end, shared in the same way, and the instance inside that, so that a
    call that hangs keeps no other share waiting.

    A share that has a place stays there; one that finds no room while it is made goes elsewhere as
    work of its own.
    """
    server_id, service_host = look(share_instances.place_of, instance_id)
    with ExitStack() as holds:
        if server_id is not None:
            holds.enter_context(current().locks.shared(server_id))
        else:
            if service_host is not None:
                holds.enter_context(current().locks.shared(service_host, ALL_SHARES))
            holds.enter_context(current().locks.shared(instance_id, ONE_SHARE))
        yield


@contextmanager
def group_of_shares(
    server_id: str | None, service_host: str, instance_ids: Collection[str]
) -> Iterator[None]:
    """Hold several share instances at one place alone: their share server, or each of them where
    there is none, on the back end `service_host` (host@backend)."""
    with ExitStack() as holds:
        if server_id is not None:
            holds.enter_context(current().locks.exclusive(server_id))
        else:
            holds.enter_context(current().locks.shared(service_host, ALL_SHARES))
            for instance_id in sorted(instance_ids):  # two groups with a share in common
                holds.enter_context(current().locks.exclusive(instance_id, ONE_SHARE))
        yield


@contextmanager
def back_end(service_host: str) -> Iterator[None]:
    """Hold all shares without a share server on a back end (host@backend) alone."""
    with current().locks.exclusive(service_host, ALL_SHARES):
        yield
