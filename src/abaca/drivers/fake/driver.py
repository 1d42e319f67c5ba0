"""The fake back end: no storage, no network, no privileges.

What it does with share servers is in `servers.py`, with shares and snapshots in `shares.py`,
with backups in `backups.py`, what these have in common in `back_end.py`. The world that they act on
is in `world.py`, faults in `faults.py`, options in `options.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from abaca.drivers.fake.backups import FakeBackups
from abaca.drivers.fake.servers import FakeServers
from abaca.drivers.fake.shares import FakeShares
from abaca.drivers.fake.world import World
from abaca.values import Client, PoolStats

_GIB = 1024**3


class FakeDriver(FakeServers, FakeShares, FakeBackups):
    """Calls about the whole back end, and what only tests do with it."""

    def check_for_setup_error(self) -> None:
        with self._call("check_for_setup_error"), self._store.read():
            pass  # a state file that cannot be read shows here

    def get_pools(self) -> list[PoolStats]:
        with self._call("get_pools"), self._store.read() as world:
            return [self._pool_stats(world, name) for name in self.options.pools]

    def used_bytes(self) -> dict[str, int] | None:
        with self._call("used_bytes"), self._store.read() as world:
            return {id_: share.used_bytes for id_, share in world.shares.items()}

    def get_network_allocations_number(self) -> int:
        return self.options.network_allocations_number

    def _pool_stats(self, world: World, name: str) -> PoolStats:
        options = self.options
        used = sum(share.used_bytes for share in world.shares.values() if share.pool == name) / _GIB
        return PoolStats(
            pool_name=name,
            total_capacity_gb=options.pools[name],
            free_capacity_gb=max(
                options.pools[name]
                - (used if options.thin_provisioning else world.promised_gb(name)),
                0.0,
            ),
            reserved_percentage=options.reserved_percentage,
            max_over_subscription_ratio=options.max_over_subscription_ratio,
            thin_provisioning=options.thin_provisioning,
            capabilities=self.capabilities.as_pool_capabilities()
            | {"share_backend_name": self.backend_name},
        )

    # --- for tests --------------------------------------------------------------------------------

    def world(self) -> dict[str, Any]:
        """Everything it holds, as plain data: `servers`, `shares` and `snapshots` by id; the latter
        two with their `export_locations`.

        Security services are included.
        """
        with self._store.read() as world:
            told: dict[str, Any] = msgspec.to_builtins(world)
            for name in ("neighbours", "own_addresses", "dead_hosts", "looks"):
                del told[name]
            for id_, share in world.shares.items():
                told["shares"][id_]["export_locations"] = [
                    location.path for location in world.export_locations(share)
                ]
            for id_, snapshot in world.snapshots.items():
                paths = (
                    [location.path for location in world.export_locations(snapshot)]
                    if snapshot.is_mountable
                    else []
                )
                told["snapshots"][id_]["export_locations"] = paths
            return told

    def set_used_bytes(self, share_instance_id: str, used_bytes: int) -> None:
        """As if clients had written that much."""
        with self._store.change() as world:
            world.shares[share_instance_id].used_bytes = used_bytes

    def set_clients(self, server_id: str, clients: Sequence[Client]) -> None:
        """As if these were connected, and nobody else."""
        with self._store.change() as world:
            world.servers[server_id].clients = list(clients)

    def set_neighbours(self, *addresses: str) -> None:
        """Have other machines use these addresses, or all of these prefixes, and no others."""
        with self._store.change() as world:
            world.neighbours = list(addresses)

    def looks(self) -> dict[str, int]:
        """How often each host has looked whether others answer."""
        with self._store.read() as world:
            return dict(world.looks)

    def set_dead_hosts(self, *names: str) -> None:
        """Have these hosts (`stands_on`) answer no other, and no others."""
        with self._store.change() as world:
            world.dead_hosts = list(names)

    def stop_serving(self, server_id: str, *, dies: bool = True) -> None:
        """As if the server's file server had died by itself, or else hung."""
        with self._store.change() as world:
            world.servers[server_id].is_served, world.servers[server_id].is_dead = False, dies
