"""What a back end is asked to do. One class to inherit, one object per back end.

Rules that hold for every method:

* Blind: values in, values out. No database, no context, no configuration globals.
* Idempotent by the ids given. Every call may be repeated after a crash, and then **without** the
  details that the lost call would have returned: look for what the call is about to make, by a name
  derived from the id, before making it.
* Failures are `BackendError`s, sorted by what to do next (see `abaca.errors`); whether the project
  reads the message is said by `is_public`. Anything else counts as a bug of the driver. A failure
  may carry partial details.
* Methods may be called from several threads. Calls about one share server never overlap with a call
  that changes that server, but for `restart_server`.
* A method belongs to a capability: it is called for what was made while the driver declared that. A
  driver that ceases to declare it may still be asked about what is there, and refuses.
* `server` is None in the calls about shares and snapshots of a back end that declares
  driver_handles_share_servers=False. One that declares True is always given the server that the
  share is on, and gets it by `required`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from threading import Event
from typing import ClassVar

from abaca.drivers.capabilities import Capabilities
from abaca.drivers.data import DriverData
from abaca.errors import Refused
from abaca.plugin_options import Option
from abaca.values import (
    AccessRule,
    Clients,
    ExportChoice,
    ExportLocation,
    ManagedServer,
    ManagedShare,
    NetworkInfo,
    NetworkInfoUpdate,
    PoolStats,
    SecurityService,
    ServerUpdate,
    Share,
    ShareServer,
    Snapshot,
    SnapshotUpdate,
)

MOST_CLIENTS = 1000
"""As many clients of one share server are listed."""


class ShareDriver(ABC):
    """A back end. Made once by the worker with its own options: `Driver(backend_name, options)`;
    see `drivers/registry.py`."""

    OPTIONS: ClassVar[Mapping[str, Option]] = {}
    """What may be in the back end's section of the configuration, by name. Values reach the
    constructor as text, and only those that are set. It judges them and does nothing else: `abaca
    config check` makes a driver, too."""

    capabilities: Capabilities

    data: DriverData
    """Where it may keep text beside its storage; there from before the first call of
    `check_for_setup_error`."""

    @property
    def makes_networks(self) -> bool:
        """Whether clients are on networks that it makes itself, so that it can serve subnets of the
        network plug-in `local` only."""
        return False

    @abstractmethod
    def check_for_setup_error(self) -> None:
        """Prepare the back end (idempotent); called once when the worker starts, before anything
        else. Raises Unavailable, naming what is missing."""

    @abstractmethod
    def get_pools(self) -> list[PoolStats]:
        """Capacities in GiB and capabilities of each pool, now. Cheap: called every few seconds."""

    def used_bytes(self) -> dict[str, int] | None:
        """Bytes that each share holds, by share instance id, for the whole back end in one call;
        snapshots count for none.

        Asked every minute (option usage_interval), beside other calls; figures that are a minute
        old will do. Of a share that is left out nothing is known. None: this driver cannot tell,
        and nothing is shown.
        """
        return None

    # --- share servers ----------------------------------------------------------------------------

    @abstractmethod
    def get_network_allocations_number(self) -> int:
        """Addresses that a share server needs on each of its subnets (1 or more)."""

    @abstractmethod
    def setup_server(self, server_id: str, network_info: Sequence[NetworkInfo]) -> dict[str, str]:
        """Make a share server. `network_info`: one entry a subnet, the oldest first, each with its
        allocations.

        Returns back end details, a flat map of strings (`{"server_name": …}`); they are shown to
        administrators. A failure on one subnet is a failure of the whole; what was made is taken
        away by `teardown_server`.
        """

    @abstractmethod
    def ensure_server(
        self, server: ShareServer, shares: Sequence[Share], snapshots: Sequence[Snapshot] = ()
    ) -> None:
        """Bring a server, its shares (with their access rules and sizes) and their snapshots from
        whatever is there to the state described.

        Called for every server when the worker starts (after a reboot nothing but the stored data
        is there) and when drift is repaired. Touches nothing that is already right: clients of a
        healthy server notice nothing. What is not complete is brought back only if it is there, and
        a share that is being resized keeps the size it has. Raises Refused, after everything else
        is in order, when the data of what is complete is gone.
        """

    def unserved(self, server_ids: Sequence[str]) -> list[str]:
        """Which of these servers do not serve their clients now, although they were set up: their
        file server has died, or answers nobody.

        Asked every few seconds, beside other calls; changes nothing, and comes back within a bound
        of its own, however many hang. A server that is named is restarted and, when it is still
        named afterwards, ensured; so name none that is merely slow. A driver that cannot tell, or
        whose back end sees to it by itself, names none.
        """
        return []

    def wait_for_deaths(self, seconds: float) -> list[str]:
        """Wait, at most `seconds`, until file servers end by themselves; returns the ids of their
        share servers, each death once.

        Called again and again by one thread, beside all other calls. It is about the servers that
        this object has set up, ensured or restarted; one that the driver itself ended is none. A
        driver that is not told of deaths waits and names none: `unserved` finds them.
        """
        Event().wait(seconds)
        return []

    def restart_server(self, server_id: str) -> bool:
        """Start the file server of a share server that has died or hangs, at once, as it was. True
        when it was to be started.

        Clients wait, and the database may be away, so the server is not described, and the call may
        overlap with others about it: the driver sees to their order. Where nothing stands that
        could be started, and in a driver without a quicker way than `ensure_server`, nothing is
        done.
        """
        return False

    def get_clients(self, server: ShareServer) -> Clients | None:
        """Who is connected to a share server now. None: this driver cannot tell.

        Asked live, beside other calls about the server; changes nothing and waits for none of
        them. Whoever asks waits for the answer, so it comes within a second or two, however many
        clients there are: a driver lists at most `MOST_CLIENTS`. Names and addresses that clients
        choose are hostile input. Raises Unavailable when the server cannot be asked.
        """
        return None

    @abstractmethod
    def teardown_server(self, server_id: str, backend_details: dict[str, str]) -> None:
        """Take a server away with everything made for it. Nothing there is success; half there,
        too."""

    def manage_server(
        self, server_id: str, identifier: str, driver_options: Mapping[str, str]
    ) -> ManagedServer:
        """Take over a server that is on the back end under `identifier`: from now on it is
        called `server_id`.

        Clients notice nothing. One that Abaca made has its id as its identifier, so both are the
        same. `driver_options`: what the administrator says beside. Called whether declared or not.
        Raises Refused when there is no such server. `ensure_server` follows.
        """
        raise Refused("This back end cannot manage existing share servers.", is_public=True)

    def unmanage_server(self, server_id: str, backend_details: dict[str, str]) -> None:
        """Abaca forgets a server, which keeps running as it is: its addresses stay its own. Called
        whether declared or not."""
        raise Refused("This back end cannot unmanage share servers.", is_public=True)

    def check_update_share_server_network_allocations(
        self,
        network_info: NetworkInfoUpdate,
        server_details: dict[str, str],
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> bool:
        """May the networks of a server change so? False or `Refused(reason)` denies; changes
        nothing.

        One call adds or removes, never both. Capability of an addition:
        `network_allocation_update_support`; the entries of `added` hold no allocations yet. Of a
        removal: `share_server_subnet_removal_support`; see the update.
        """
        raise _undeclared(_of_change(network_info))

    def update_share_server_network_allocations(
        self,
        network_info: NetworkInfoUpdate,
        server_details: dict[str, str],
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> ServerUpdate:
        """Change the networks of a server in use. Clients on the subnets that stay notice nothing:
        addresses, routes and rules there, and their export locations, are as before.

        One call adds or removes, never both. Returns the full, new list of export locations of each
        share, and of each mountable snapshot, whose list changed.

        An addition (capability `network_allocation_update_support`): `current` is what stays,
        `added` what comes. On failure the server keeps serving its old subnets.

        A removal (capability `share_server_subnet_removal_support`): `current` is what stays, never
        empty; `removed` is what goes, with its allocations. When the call returns, nothing of the
        server answers on those addresses any more, because they are given to others next. An entry
        that is gone already is success. On failure the shares are served on all that stays; what
        the server does on the subnet that goes is the driver's choice. After a failure, and after a
        crash, follows the same call again, or one that adds the subnet; `ensure_server`, with the
        subnet among the server's networks, may come before.
        """
        raise _undeclared(_of_change(network_info))

    def update_share_server_drains(
        self, server: ShareServer, shares: Sequence[Share], snapshots: Sequence[Snapshot]
    ) -> ServerUpdate:
        """Refuse new clients on exactly those subnets of a server in use that drain
        (`is_draining` in `server.network_info`); admit them again on all others.

        Clients that are connected there go on, and may connect again when their connection breaks.
        Returns the full, new list of export locations of each share, and of each mountable
        snapshot, whose list changed: one that was made while a subnet drained has no location
        there until the drain is cancelled; one that has a location there keeps it. Called whether
        declared or not. Refused by a driver that cannot do it: the drain goes on, new clients can
        connect, and the project is told. `setup_server`, `ensure_server` and
        `update_share_server_network_allocations` bring the same about.
        """
        raise Refused(
            "This back end cannot refuse new clients on one subnet of a share server.",
            is_public=True,
        )

    def check_update_share_server_security_service(
        self,
        server: ShareServer,
        shares: Sequence[Share],
        new: SecurityService,
        current: SecurityService | None,
    ) -> bool:
        """May a server in use join `new`, in place of `current` where there is one? False or
        `Refused(reason)` denies; changes nothing.

        Capability `security_service_update_support`. The entries of `server.network_info` hold the
        security services as they would be.
        """
        raise _undeclared("security_service_update_support")

    def update_share_server_security_service(
        self,
        server: ShareServer,
        shares: Sequence[Share],
        new: SecurityService,
        current: SecurityService | None,
    ) -> dict[str, str]:
        """Change a server in use from `current` to `new`; clients notice nothing else.
        Returns new back end details, if any.

        Capability `security_service_update_support`. The entries of `server.network_info` hold the
        security services as they shall be: what the server has joined beside them is to be left.
        `current` is None for an addition, and when it has been deleted since.
        """
        raise _undeclared("security_service_update_support")

    def update_share_network_subnet_from_metadata(
        self, server: ShareServer, share_network_subnet_id: str, metadata: dict[str, str]
    ) -> None:
        """Let metadata that was set on a subnet take effect on a server in use; the entry of
        `server.network_info` has all of the subnet's.

        The one method that is called without being declared, for the keys that the administrator
        names in the option driver_updatable_subnet_metadata. On failure the server goes on as
        before, and the project is told.
        """
        raise Refused("This back end does not support metadata of subnets.", is_public=True)

    # --- shares -----------------------------------------------------------------------------------

    @abstractmethod
    def create_share(self, share: Share, server: ShareServer | None) -> list[ExportLocation]:
        """Make a share of `share.size` GiB that nobody may access yet. Returns its export
        locations, the preferred ones of each family first.

        Raises NoSpace when the pool has no room.
        """

    @abstractmethod
    def delete_share(self, share: Share, server: ShareServer | None) -> None:
        """Delete a share and its data, in use or not. Nothing there is success. `server` may be
        half gone.

        Never called for a share that has snapshots. Shares that were made from its snapshots stay
        as they are.
        """

    def manage_share(
        self,
        share: Share,
        export_path: str,
        server: ShareServer | None,
        driver_options: Mapping[str, str],
    ) -> ManagedShare:
        """Take over a share that `server` exports under `export_path`: from now on it is called
        `share.id`.

        One that Abaca made comes with the id that its path ends with, so nothing is renamed.
        `share.size` is 0. Called whether declared or not. Raises Refused when there is no such
        share of that protocol there. `update_access` follows, without rules.
        """
        raise Refused("This back end cannot manage existing shares.", is_public=True)

    def unmanage_share(self, share: Share, server: ShareServer | None) -> None:
        """Abaca forgets a share without snapshots, which stays as it is. Called whether declared
        or not."""
        raise Refused("This back end cannot unmanage shares.", is_public=True)

    @abstractmethod
    def extend_share(self, share: Share, new_size: int, server: ShareServer | None) -> None:
        """Grow a share to `new_size` GiB. Clients notice nothing but the room."""

    @abstractmethod
    def shrink_share(self, share: Share, new_size: int, server: ShareServer | None) -> None:
        """Shrink a share to `new_size` GiB. Raises Refused, with both numbers, when it holds more
        than that."""

    @abstractmethod
    def update_access(
        self, share: Share, access_rules: Sequence[AccessRule], server: ShareServer | None
    ) -> dict[str, str]:
        """Make exactly these rules hold (default deny). Returns the rules that cannot be enforced:
        rule id → reason; they grant nothing.

        Where `share.export_choice` is not free (capability `export_subnets_support`), a rule
        grants no more than what of it lies in the ranges of the chosen subnets. One that touches
        no range of the server's subnets is for clients behind routers, and holds whole, if a
        subnet of its IP version is chosen. What then grants nothing is among those returned.
        """

    def export_locations(
        self, what: Share | Snapshot, server: ShareServer | None
    ) -> list[ExportLocation]:
        """Where clients reach a share, or a mountable snapshot, by the share's `export_choice`; as
        `create_share` returns them. Changes nothing.

        Capability `export_subnets_support`. Called after `update_access`, as a choice may have
        changed.
        """
        raise _undeclared("export_subnets_support")

    # --- snapshots --------------------------------------------------------------------------------

    def create_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> SnapshotUpdate:
        """Keep what `snapshot.share` holds now; its clients keep writing and notice nothing.

        Raises NoSpace, and leaves nothing, when it would take room that shares are promised; the
        message is for the share's project. Capability `snapshot_support`. One that `is_mountable`
        (capability `mount_snapshot_support`) is exported, to be read only, by its access rules; its
        export locations are returned, in the order of the share's.
        """
        raise _undeclared("snapshot_support")

    def delete_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> None:
        """Delete a snapshot, mounted or not. Nothing there is success. `server` may be half gone.
        Capability `snapshot_support`."""
        raise _undeclared("snapshot_support")

    def create_share_from_snapshot(
        self, share: Share, snapshot: Snapshot, server: ShareServer | None
    ) -> list[ExportLocation]:
        """As `create_share`, with what the snapshot holds. `share` is on the same server and
        pool, and is not smaller than `snapshot.size`.

        Capability `create_share_from_snapshot_support`. Afterwards neither needs the other.
        """
        raise _undeclared("create_share_from_snapshot_support")

    def revert_to_snapshot(
        self, snapshot: Snapshot, share: Share, server: ShareServer | None
    ) -> None:
        """Give a share, in use or not, what its newest snapshot holds, and `snapshot.size` GiB. Its
        export locations and rules stay.

        Capability `revert_to_snapshot_support`. What was written since is lost; files that clients
        hold open may be stale afterwards, and their locks gone. With the capability
        `revert_keeps_mounts` everything else that clients hold stays good: the mount, and handles
        of what is as it was in the snapshot. They may have to wait a moment, and see no error.
        Without it they may have to mount again.
        """
        raise _undeclared("revert_to_snapshot_support")

    def update_snapshot_access(
        self, snapshot: Snapshot, access_rules: Sequence[AccessRule], server: ShareServer | None
    ) -> dict[str, str]:
        """As `update_access`, for a mountable snapshot; all rules are `ro`. Capability
        `mount_snapshot_support`."""
        raise _undeclared("mount_snapshot_support")


def required(server: ShareServer | None) -> ShareServer:
    """The share server that a call is about, for drivers that put every share on one. Raises
    Refused when there is none."""
    if server is None:
        raise Refused(
            "This back end keeps every share on a share server "
            "(driver_handles_share_servers=True), and this one has none."
        )
    return server


def exported_on(choice: ExportChoice, server: ShareServer) -> list[NetworkInfo]:
    """The networks of a server on which a share with this choice is exported. Raises Refused when
    there are none."""
    chosen = choice.of(server.network_info)
    if not chosen:
        raise Refused(
            "The share server has none of the subnets that were chosen for the exports of the "
            "share.",
            is_public=True,
        )
    return chosen


def _of_change(update: NetworkInfoUpdate) -> str:
    """The capability that a change of networks needs."""
    if update.removed:
        return "share_server_subnet_removal_support"
    return "network_allocation_update_support"


def _undeclared(capability: str) -> Refused:
    return Refused(f"The back end does not support this (any more): {capability}.", is_public=True)
