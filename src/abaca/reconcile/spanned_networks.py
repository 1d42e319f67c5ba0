"""Networks that are on several hosts: this host's tunnels are brought in line with where ports are,
when they come, go or move anywhere, and at intervals."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy.engine import Engine

from abaca.db.session import begin, read
from abaca.domain.local_networks import forwarding
from abaca.domain.services import hosts
from abaca.drivers.interface import ShareDriver
from abaca.errors import BackendError
from abaca.values import TunnelEnd

_LOG = logging.getLogger(__name__)


class SpannedNetworks:
    """Of the worker host `host`. `end`: None: it has no tunnels, and old ones are taken away."""

    def __init__(
        self, engine: Engine, host: str, end: TunnelEnd | None, drivers: Sequence[ShareDriver]
    ) -> None:
        self._engine, self._host, self._end, self._drivers = engine, host, end, drivers
        self._told: list[str] = []

    def bring_in_line(self) -> None:
        """Look once. What cannot be connected is logged, and stored with the host, when it
        changes."""
        networks = []
        if self._end is not None:
            with read(self._engine) as conn:
                networks = forwarding.of_host(conn, self._host)
        lacks: dict[str, None] = {}
        for driver in self._drivers:
            try:
                lacks.update(dict.fromkeys(driver.join_hosts(self._end, networks)))
            except BackendError as error:
                lacks[error.message] = None
        if list(lacks) != self._told:
            for lack in lacks:
                _LOG.error("not connected with other hosts: %s", lack)
            with begin(self._engine) as conn:
                hosts.set_unreached(conn, self._host, "; ".join(lacks) or None)
            self._told = list(lacks)
