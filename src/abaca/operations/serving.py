"""What the operations of this worker work with: its drivers, the network plug-in and the locks of
its share servers.

Set once by the worker before work is taken; there is one worker per process, as there is one DBOS.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    """`drivers`: host@backend → driver. `engine`, `cipher`: for the secrets that a call of a driver
    needs; see `driver_calls`."""

    drivers: dict[str, ShareDriver]
    networks: NetworkPlugin
    engine: Engine
    cipher: Cipher
    locks: ServerLocks = field(default_factory=ServerLocks)

    def driver(self, host: str) -> ShareDriver:
        """The driver of `host@backend` or `host@backend#pool`. Unavailable when this worker does
        not serve it (any more)."""
        service = Host.parse(host).service
        if service not in self.drivers:
            raise Unavailable(f"The back end {service} is not served by this worker.")
        return self.drivers[service]


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
    """Hold the share server that a share instance is on, shared with the other work on its
    shares; or the instance, where there is none.

    A share that stands somewhere stays there; one that finds no room while it is made goes
    elsewhere as work of its own.
    """
    with current().locks.shared(look(share_instances.server_of, instance_id) or instance_id):
        yield
