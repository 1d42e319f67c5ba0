"""The fake back end's shares and snapshots: what a driver with real storage would do, refuse and
return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from abaca.drivers.fake.back_end import FakeBackEnd, networks, share_there, snapshot_there
from abaca.drivers.fake.subjects import snapshot_ids
from abaca.drivers.fake.world import fetched_as, stored_share, stored_snapshot
from abaca.errors import Refused
from abaca.values import (
    AccessRule,
    ExportLocation,
    ManagedShare,
    ManagedSnapshot,
    Share,
    ShareServer,
    Snapshot,
    SnapshotUpdate,
)

_GIB = 1024**3

_SNAPSHOTS = "/fake/snapshots/"


class FakeShares(FakeBackEnd):
    """Calls about shares and their snapshots."""

    def create_share(self, share: Share, server: ShareServer | None) -> list[ExportLocation]:
        with (
            self._call("create_share", share.id, share.share_id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            server_id = self._server_of(world, server)
            if share.share_proto.upper() not in self.capabilities.storage_protocols:
                raise Refused(f"This back end does not serve {share.share_proto}.", is_public=True)
            if share.id not in world.shares:
                self._require_exported(share.export_choice, server)
                self._judge_room(world, share.pool, share.size)
                world.shares[share.id] = stored_share(share, server_id)
            return self._export_locations(world, world.shares[share.id], networks(server))

    def delete_share(self, share: Share, server: ShareServer | None) -> None:
        with (
            self._call("delete_share", share.id, share.share_id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            if any(snapshot.share_instance_id == share.id for snapshot in world.snapshots.values()):
                raise Refused(f"The share {share.id} has snapshots.", is_public=True)
            world.shares.pop(share.id, None)
            for key in [
                each for each in world.fetched if each.startswith(fetched_as(share.id, ""))
            ]:
                del world.fetched[key]

    def manage_share(
        self,
        share: Share,
        export_path: str,
        server: ShareServer | None,
        driver_options: Mapping[str, str],
    ) -> ManagedShare:
        with (
            self._call("manage_share", share.id, share.share_id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            stored = world.exported(
                export_path, self._server_of(world, server)
            ) or world.shares.get(share.id)
            if stored is None or stored.share_proto.upper() != share.share_proto.upper():
                raise Refused(
                    f"This back end exports no {share.share_proto} share under {export_path} for "
                    "that server.",
                    is_public=True,
                )
            del world.shares[stored.id]
            stored.id, stored.share_id = share.id, share.share_id
            stored.export_choice = share.export_choice
            stored.mount_point_name = share.mount_point_name
            world.shares[share.id] = stored
            return ManagedShare(
                size=stored.size, export_locations=self._export_locations(world, stored)
            )

    def unmanage_share(self, share: Share, server: ShareServer | None) -> None:
        with self._call("unmanage_share", share.id, share.share_id, *self._server_ids(server)):
            pass  # it stays as it is

    def extend_share(self, share: Share, new_size: int, server: ShareServer | None) -> None:
        with (
            self._call("extend_share", share.id, share.share_id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            stored = share_there(world, share)
            if new_size > stored.size:
                self._judge_room(world, stored.pool, new_size - stored.size)
                stored.size = new_size

    def shrink_share(self, share: Share, new_size: int, server: ShareServer | None) -> None:
        with (
            self._call("shrink_share", share.id, share.share_id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            stored = share_there(world, share)
            if stored.used_bytes > new_size * _GIB:
                raise Refused(
                    f"The share holds {stored.used_bytes / _GIB:.2f} GiB, so it cannot shrink to "
                    f"{new_size} GiB.",
                    is_public=True,
                )
            stored.size = min(stored.size, new_size)

    def update_access(
        self, share: Share, access_rules: Sequence[AccessRule], server: ShareServer | None
    ) -> dict[str, str]:
        with (
            self._call("update_access", share.id, share.share_id, *self._server_ids(server)),
            self._store.change() as world,
        ):
            return self._apply(world, share_there(world, share), share, access_rules)

    def export_locations(
        self, what: Share | Snapshot, server: ShareServer | None
    ) -> list[ExportLocation]:
        with self._call("export_locations", what.id), self._store.read() as world:
            stored = (
                snapshot_there(world, what)
                if isinstance(what, Snapshot)
                else share_there(world, what)
            )
            self._require_exported(stored.export_choice, server)
            known = what.export_locations
            return self._export_locations(world, stored, networks(server), known)

    # --- snapshots --------------------------------------------------------------------------------

    def create_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> SnapshotUpdate:
        with (
            self._call("create_snapshot", *snapshot_ids(snapshot), *self._server_ids(server)),
            self._store.change() as world,
        ):
            server_id = self._server_of(world, server)
            share_there(world, snapshot.share)
            if snapshot.id not in world.snapshots:
                world.snapshots[snapshot.id] = stored_snapshot(world, snapshot, server_id)
            stored = world.snapshots[snapshot.id]
            self._apply(world, stored, snapshot, snapshot.access_rules)
            locations = self._export_locations(world, stored, networks(server))
            return SnapshotUpdate(
                provider_location=f"{_SNAPSHOTS}{snapshot.id}",
                export_locations=locations if stored.is_mountable else None,
            )

    def create_group_snapshot(
        self, snapshots: Sequence[Snapshot], server: ShareServer | None
    ) -> dict[str, SnapshotUpdate]:
        ids = [id_ for snapshot in snapshots for id_ in snapshot_ids(snapshot)]
        with (
            self._call("create_group_snapshot", *ids, *self._server_ids(server)),
            self._store.change() as world,
        ):
            server_id = self._server_of(world, server)
            for snapshot in snapshots:
                share_there(world, snapshot.share)
            for snapshot in snapshots:
                world.snapshots[snapshot.id] = stored_snapshot(world, snapshot, server_id)
            return {
                snapshot.id: SnapshotUpdate(provider_location=f"{_SNAPSHOTS}{snapshot.id}")
                for snapshot in snapshots
            }

    def delete_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> None:
        with (
            self._call("delete_snapshot", *snapshot_ids(snapshot), *self._server_ids(server)),
            self._store.change() as world,
        ):
            world.snapshots.pop(snapshot.id, None)

    def create_share_from_snapshot(
        self, share: Share, snapshot: Snapshot, server: ShareServer | None
    ) -> list[ExportLocation]:
        subjects = (share.id, share.share_id, *snapshot_ids(snapshot), *self._server_ids(server))
        with self._call("create_share_from_snapshot", *subjects), self._store.change() as world:
            server_id = self._server_of(world, server)
            stored = snapshot_there(world, snapshot)
            if share.id not in world.shares:
                self._require_exported(share.export_choice, server)
                self._judge_room(world, share.pool, share.size)
                world.shares[share.id] = stored_share(share, server_id)
                world.shares[share.id].used_bytes = stored.used_bytes
            return self._export_locations(world, world.shares[share.id], networks(server))

    def revert_to_snapshot(
        self, snapshot: Snapshot, share: Share, server: ShareServer | None
    ) -> None:
        subjects = (share.id, share.share_id, *snapshot_ids(snapshot), *self._server_ids(server))
        with self._call("revert_to_snapshot", *subjects), self._store.change() as world:
            stored, kept = share_there(world, share), snapshot_there(world, snapshot)
            if kept.size > stored.size:
                self._judge_room(world, stored.pool, kept.size - stored.size)
            stored.size, stored.used_bytes = kept.size, kept.used_bytes

    def update_snapshot_access(
        self, snapshot: Snapshot, access_rules: Sequence[AccessRule], server: ShareServer | None
    ) -> dict[str, str]:
        with (
            self._call(
                "update_snapshot_access", *snapshot_ids(snapshot), *self._server_ids(server)
            ),
            self._store.change() as world,
        ):
            return self._apply(world, snapshot_there(world, snapshot), snapshot, access_rules)

    def manage_snapshot(
        self,
        snapshot: Snapshot,
        server: ShareServer | None,
        driver_options: Mapping[str, str],
    ) -> ManagedSnapshot:
        with (
            self._call("manage_snapshot", *snapshot_ids(snapshot), *self._server_ids(server)),
            self._store.change() as world,
        ):
            name = (snapshot.provider_location or "").removeprefix(_SNAPSHOTS)
            stored = world.snapshots.get(name)
            if (
                stored is None
                or stored.id != snapshot.id
                or stored.share_instance_id != snapshot.share.id
            ):
                raise Refused(
                    "This back end has no snapshot of that share at the given location.",
                    is_public=True,
                )
            stored.snapshot_id = snapshot.snapshot_id
            stored.is_mountable = snapshot.is_mountable
            self._apply(world, stored, snapshot, snapshot.access_rules)
            locations = self._export_locations(world, stored, networks(server))
            return ManagedSnapshot(
                size=stored.size,
                provider_location=snapshot.provider_location,
                export_locations=locations if stored.is_mountable else None,
            )

    def unmanage_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> None:
        with (
            self._call("unmanage_snapshot", *snapshot_ids(snapshot), *self._server_ids(server)),
            self._store.change() as world,
        ):
            if stored := world.snapshots.get(snapshot.id):
                stored.access_rules = []
