"""What all calls of a fake back end share: options, faults, delays, room, rules and export
locations."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from abaca.drivers.export_ranges import exported_on
from abaca.drivers.fake.access import judged
from abaca.drivers.fake.faults import FaultPlan
from abaca.drivers.fake.options import OPTIONS, parse
from abaca.drivers.fake.world import Server, Store, StoredShare, StoredSnapshot, World
from abaca.drivers.interface import ShareDriver, required
from abaca.errors import NoSpace, Refused
from abaca.values import (
    AccessRule,
    ExportChoice,
    ExportLocation,
    NetworkInfo,
    Share,
    ShareServer,
    Snapshot,
)


class FakeBackEnd(ShareDriver):
    """What calls about share servers and calls about shares have in common.

    `options`: see `abaca.drivers.fake.options`. Raises Unavailable when one of them makes no
    sense."""

    OPTIONS = OPTIONS

    def __init__(self, backend_name: str, options: Mapping[str, str]) -> None:
        self.backend_name = backend_name
        self.options = parse(options)
        self.capabilities = self.options.capabilities
        self.faults = FaultPlan(self.options.fault_plan)
        self._store = Store(self.options.state_file)

    @contextmanager
    def _call(self, method: str, *subjects: str) -> Iterator[None]:
        """Around each call: its delay and its faults. Outside of every lock, so that a call that
        hangs holds nobody up."""
        delays = self.options.delays
        delay = delays.get(method, delays.get("*", 0.0) if subjects else 0.0)
        if delay:
            time.sleep(delay)
        self.faults.strike(method, subjects, "before")
        yield
        self.faults.strike(method, subjects, "after")

    def _server_ids(self, server: ShareServer | None) -> list[str]:
        """The id of the server that a call is about; none in a back end without servers."""
        return [required(server).id] if self.capabilities.driver_handles_share_servers else []

    def _server_of(self, world: World, server: ShareServer | None) -> str | None:
        """The id of a server that is there; None in a back end without servers."""
        return next((server_there(world, id_).id for id_ in self._server_ids(server)), None)

    def _require_exported(self, choice: ExportChoice, server: ShareServer | None) -> None:
        """Raises Refused when the server has none of the chosen subnets."""
        if not choice.is_free:
            exported_on(choice, required(server))

    def _judge_room(self, world: World, pool: str, size: int) -> None:
        if pool not in self.options.pools:
            raise Refused(f"This back end has no pool '{pool}'.", is_public=True)
        ratio = self.options.max_over_subscription_ratio if self.options.thin_provisioning else 1.0
        free = self.options.pools[pool] * ratio - world.promised_gb(pool)
        if size > free:
            raise NoSpace(f"The pool {pool} has {max(free, 0):g} GiB left, {size} GiB are needed.")

    def _apply(
        self,
        world: World,
        stored: StoredShare | StoredSnapshot,
        what: Share | Snapshot,
        rules: Sequence[AccessRule],
    ) -> dict[str, str]:
        """These rules hold, and the choice that the share has now. The rules that cannot be
        enforced."""
        share = what.share if isinstance(what, Snapshot) else what
        server = world.servers.get(stored.server_id or "")
        stored.export_choice = share.export_choice
        stored.access_rules, refused = judged(
            rules,
            share.share_proto,
            self.capabilities,
            share.export_choice,
            server.network_info if server else [],
        )
        return refused

    def _export_locations(
        self,
        world: World,
        stored: StoredShare | StoredSnapshot,
        network_info: Sequence[NetworkInfo] = (),
        known: Sequence[ExportLocation] = (),
    ) -> list[ExportLocation]:
        """Those of tenants, and before them one that tells the service's tests whether it is kept
        from tenants."""
        found = world.export_locations(stored, network_info, known)
        if self.options.admin_only_export_locations:
            found.insert(
                0,
                ExportLocation(path=f"fake-admin:/{stored.id}", preferred=True, is_admin_only=True),
            )
        return found


def server_there(world: World, server_id: str) -> Server:
    if server_id not in world.servers:
        raise Refused(f"This back end has no share server {server_id}.", is_public=True)
    return world.servers[server_id]


def networks(server: ShareServer | None) -> Sequence[NetworkInfo]:
    return server.network_info if server else ()


def share_there(world: World, share: Share) -> StoredShare:
    if share.id not in world.shares:
        raise Refused(f"This back end has no share {share.id}.", is_public=True)
    return world.shares[share.id]


def snapshot_there(world: World, snapshot: Snapshot) -> StoredSnapshot:
    if snapshot.id not in world.snapshots:
        raise Refused(f"This back end has no snapshot {snapshot.id}.", is_public=True)
    return world.snapshots[snapshot.id]
