"""The interface of share drivers: one class to inherit, one object per back end.

Rules for every method:

* Blind: values in, values out. No database, no context, no configuration globals.
* Idempotent by the ids given. Every call may be repeated after a crash, and then **without** the
  details that the lost call would have returned. Derive names from the ids, look for an object
  before making it, and return the same answer again.
* A call that was interrupted may leave half of its work. The next call is either the same one or
  the one that deletes the object: both must cope.
* Failures are of a class below `BackendError`, chosen by what to do next (see `abaca.errors`);
  `is_public` decides whether the project reads the message. Any other exception counts as a bug in
  the driver. A failure may carry partial details.
* Methods are called from several threads. A call that changes a share server (`setup_server`,
  `ensure_server`, `teardown_server`, the updates) never overlaps with another call about that
  server or its shares; checks and `restart_server` may. Calls about shares of one server do
  overlap.
* Waiting is bounded: a call that hangs blocks its server. Give every command and connection a
  deadline, and raise OutcomeUnknown when it passes.
* A method that needs a capability is called only for objects made while the driver declared it. A
  driver that no longer declares it may still be asked about them, and refuses.
* `server` is None in calls about shares and snapshots if the driver declares
  `driver_handles_share_servers` False. If True, the share's server is always given; take it with
  `required`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import ClassVar

from abaca.drivers.capabilities import Capabilities
from abaca.drivers.data import DriverData
from abaca.errors import Refused
from abaca.plugin_options import Option
from abaca.values import (
    AccessRule,
    Answers,
    Backup,
    BackupProgress,
    Clients,
    ExportLocation,
    Finding,
    ManagedServer,
    ManagedShare,
    ManagedSnapshot,
    NetworkInfo,
    NetworkInfoUpdate,
    PoolStats,
    SecurityService,
    ServerUpdate,
    Share,
    ShareServer,
    Snapshot,
    SnapshotUpdate,
    SpannedNetwork,
    TunnelEnd,
)

MOST_CLIENTS = 1000
"""The most clients of one share server that are listed."""
_PATH_NAME = re.compile("[A-Za-z0-9_-]{1,255}")
UUID_PATTERN = re.compile("[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")
"""Ids of shares and of everything else, in any spelling."""


class ShareDriver(ABC):
    """A back end. The worker makes one object of each: `Driver(backend_name, options)`."""

    OPTIONS: ClassVar[Mapping[str, Option]] = {}
    """The options of the back end's section in the configuration, by name. The constructor gets
    the values as text, and only those that are set. It validates them and does nothing else,
    because `abaca config check` makes a driver too."""

    capabilities: Capabilities
    data: DriverData
    """A store for text beside the storage. Set before `check_for_setup_error` is first called."""

    guard: Callable[[], None]
    """Set as early. Drivers that are `is_shared` call it before changes on what others reach; it
    raises Unavailable once the worker's lease is lost."""

    @property
    def makes_networks(self) -> bool:
        """True if clients are on networks that the driver makes itself, so that it can serve only
        subnets of the network plug-in `local`."""
        return False

    @property
    def own_server_id(self) -> str | None:
        """Without share servers: of its one file server, for `unserved`, `restart_server` and
        `wait_for_deaths`. None: nobody watches it."""
        return None

    @property
    def is_shared(self) -> bool:
        """True if workers on several hosts may serve the back end (option backend_host), because
        all that it stores is reached from each. A share server then stands on one of them, and may
        go to another: `leave_server`, `fence_server`, `servers_here`. What `data` holds is one for
        all hosts."""
        return False

    @abstractmethod
    def check_for_setup_error(self) -> None:
        """Prepare the back end (idempotent). Called when the worker starts, before anything else.
        Raises Unavailable, naming what is missing."""

    @abstractmethod
    def get_pools(self) -> list[PoolStats]:
        """Current capacities in GiB and capabilities of each pool; at least one pool.

        Called every few seconds, beside all other calls, so it must be cheap. `free_capacity_gb` is
        what is really free: the scheduler accounts for room that is promised but not written. A
        BackendError takes the back end down until it has been prepared again.
        """

    def used_bytes(self) -> dict[str, int] | None:
        """Bytes used by each share, by share instance id, for the whole back end in one call.
        Snapshots are not counted.

        Called every minute (option usage_interval), beside other calls; figures may be a minute
        old, so ask the storage once and not once per share. No usage is shown for a share that is
        left out. None: this driver cannot measure usage.
        """
        return None

    # --- share servers ----------------------------------------------------------------------------

    def get_network_allocations_number(self) -> int:
        """Addresses that a share server needs on *each* of its subnets: 1 or more, and always the
        same number. Not asked of a back end without share servers."""
        return 1

    def join_hosts(self, end: TunnelEnd | None, networks: Sequence[SpannedNetwork]) -> list[str]:
        """Connect VXLAN networks of Abaca's own with their ports on other hosts: these networks,
        and no others.

        Called when ports come, go or move anywhere, and every few seconds, beside all other calls;
        so what is right must cost little. A network that has no port here yet is connected with its
        first one. Returns what cannot be connected, and why. `end`: this host's end of the tunnels;
        None: it has none, and `networks` is empty. A driver whose servers others connect has
        nothing to do.
        """
        return []

    def addresses_in_use(self, network_info: Sequence[NetworkInfo]) -> list[str]:
        """Which of the addresses that a share server has just been given does another machine on
        their networks already use?

        Called for addresses on flat and VLAN networks, before `setup_server` or
        `update_share_server_network_allocations` puts the server there; never for addresses that a
        server serves. `network_info`: the entries in question, all of one server. Answers for all
        of them at once, within a few seconds, whatever neighbours send; leaves nothing behind,
        and disturbs nobody. Those that are named are not used, and others are given instead. A
        driver that cannot ask names none.
        """
        return []

    def setup_server(self, server_id: str, network_info: Sequence[NetworkInfo]) -> dict[str, str]:
        """Make a share server. `network_info`: one entry per subnet, the oldest first, each with
        its allocations and the network's security services. Capability
        `driver_handles_share_servers`.

        Returns back end details, a flat map of strings (`{"server_name": …}`), which are shown to
        administrators. A failure on one subnet fails the whole call; it need not clean up, as
        `teardown_server` is called next. May be called again for an id after that.
        """
        raise _undeclared("driver_handles_share_servers")

    def ensure_server(
        self, server: ShareServer, shares: Sequence[Share], snapshots: Sequence[Snapshot] = ()
    ) -> None:
        """Bring a server, its shares (with access rules and sizes) and their snapshots from
        whatever state they are in to the one described.

        Called for every server when the worker starts (after a reboot only the stored data is
        left), and to repair one. Adds what is missing, removes what is not described (a subnet of
        an abandoned change, an export of a deleted share; never data) and leaves alone what is
        right: clients of a healthy server notice nothing. Shares that are not `is_complete` are
        served only if they exist, mountable snapshots that are not need not be, and a share that
        `is_resizing` keeps its size. While a subnet is being added, `network_info` may already
        contain it. If the data of a complete share or snapshot is gone, does everything else first
        and then raises Refused. Capability `driver_handles_share_servers`.
        """
        raise _undeclared("driver_handles_share_servers")

    def unserved(self, server_ids: Sequence[str]) -> list[str]:
        """Which of these servers, which were set up, do not serve their clients now: the file
        server died or does not answer.

        Called every few seconds, beside other calls. Changes nothing, and returns within a bound
        of its own however many servers hang. A server that is returned is restarted; if it is still
        unserved afterwards, `ensure_server` is called. So leave out one that is merely slow. A
        driver that cannot tell, or whose storage recovers servers itself, returns none.
        """
        return []

    def wait_for_deaths(self, seconds: float) -> list[str]:
        """Wait up to `seconds` for file servers to die; returns the ids of their share servers,
        each death once.

        Called in a loop by one thread, beside all other calls, for the servers that this object has
        set up, ensured or restarted. A server that the driver itself stopped does not count. It
        makes a restart a matter of milliseconds instead of the next `unserved`; a driver that does
        not learn of deaths inherits this method, which waits and returns none.
        """
        Event().wait(seconds)
        return []

    def restart_server(self, server_id: str) -> bool:
        """Start the file server of a share server that died or hangs again, at once and as it was.
        True if there was one to start.

        Clients wait, and the database may be unavailable, so the server is not described. This is
        the one call that may overlap with others that change its server: the driver orders them.
        False if there is nothing to start (torn down, not set up yet) or the driver has no quicker
        way than `ensure_server`. A server that dies repeatedly is restarted after pauses of 10 s to
        10 minutes.
        """
        return False

    def get_clients(self, server: ShareServer) -> Clients | None:
        """The clients that are connected to a share server now. None: this driver cannot tell.

        Called live, beside other calls about the server; changes nothing and waits for none of
        them. A request waits for the answer, so return within a second or two: list at most
        `MOST_CLIENTS`. People use the answer before they take a subnet away, so a missing client
        is worse than one with few details: use None for details that the back end does not know.
        `is_complete` is False if there are more clients, and while clients may be reconnecting to a
        restarted file server. Whatever a client can choose besides its address is left out. Raises
        Unavailable when the server cannot be asked.
        """
        return None

    def machine_findings(self) -> list[Finding]:
        """What is odd about the back end on this machine although it works now, and will not after
        a restart. Changes nothing, and is called as `network_findings` is, by `abaca doctor`. By
        default nothing is told.
        """
        return []

    def network_findings(self, info: NetworkInfo, client: str | None = None) -> list[Finding]:
        """What stands, or does not, between clients on that network and a share server's address
        there, in the order of the way: link, bridge, tag, port, address, route, the file server.

        Without `info.network_allocations`: the network alone. `client`: an address; whether the
        server finds its way there is looked at, too. Changes nothing. Called by `abaca doctor` in a
        process of its own, beside the worker's; `check_for_setup_error` was not called. By default
        nothing is told.
        """
        return []

    def export_findings(
        self, share: Share, info: NetworkInfo, client: str | None = None
    ) -> list[Finding]:
        """The same of a share at the server's addresses on one network: whether it is exported, and
        whether `client` is let in. By default nothing is told."""
        return []

    def teardown_server(self, server_id: str, backend_details: dict[str, str]) -> None:
        """Delete a server with everything made for it; success also if nothing, or only half of it,
        is there.

        When the call returns, nothing may answer on its addresses: they are given to others next.
        Called for a deleted server and after a failed `setup_server`, also with empty details.
        Capability `driver_handles_share_servers`.
        """
        raise _undeclared("driver_handles_share_servers")

    def leave_server(self, server_id: str) -> None:
        """Take away all that this host has of a share server that goes to another one, or went:
        when the call returns, nothing here answers on its addresses or uses its data. The data
        stay. Success also if nothing is there. Only if `is_shared`."""
        raise Refused("This back end is on one host.", is_public=True)

    def fence_server(self, server_id: str) -> None:
        """Shut whatever runs for a share server out from its data, wherever it runs: on a host that
        is gone for the service, but perhaps not for the storage. When the call returns, no write of
        it happens any more, and it cannot come back. `ensure_server` follows on this host. Only if
        `is_shared`."""
        raise Refused("This back end is on one host.", is_public=True)

    def servers_here(self) -> list[str]:
        """The ids of the share servers of which something is on this host. Called every few
        seconds, so it must be cheap. Only if `is_shared`."""
        return []

    def reached_at(self) -> list[str]:
        """Where `answering` on other hosts can see whether this host lives: at most eight short
        texts without line breaks, which only this driver reads. Called with each heartbeat, so it
        must be cheap. Without any the host is never taken for dead. Only if `is_shared`."""
        return []

    def answering(self, places: Sequence[str]) -> Answers:
        """At which of these places, `reached_at` of other hosts, those answer now, asked for what
        their share servers need, such as networks. Returns within a few seconds. A host that
        answers at none where it did before is taken for dead: of a place in doubt tell why it could
        not be asked; Unavailable: none could. Others may have put anything among the places. Only
        if `is_shared`."""
        return Answers(at=[], unasked={})

    def manage_server(
        self, server_id: str, identifier: str, driver_options: Mapping[str, str]
    ) -> ManagedServer:
        """Take over a server that the back end knows as `identifier`: from now on it is named
        `server_id`.

        Clients notice nothing. A server that Abaca made has its former id as identifier, and gets
        it back. `driver_options`: further values from the administrator. Returns the server's
        addresses in the order of its export locations, which the network plug-in takes over, and
        its details. `ensure_server` follows, with those addresses and the network's security
        services but without shares: whatever the server still exports stays. Needs no capability.
        Raises Refused if there is no such server. May be repeated after the renaming.
        """
        raise Refused("This back end cannot manage existing share servers.", is_public=True)

    def unmanage_server(self, server_id: str, backend_details: dict[str, str]) -> None:
        """Abaca forgets a server without shares. It keeps running as it is, and its addresses stay
        reserved. Needs no capability. An administrator can have a server forgotten although the
        driver refuses (`force`)."""
        raise Refused("This back end cannot unmanage share servers.", is_public=True)

    def check_update_share_server_network_allocations(
        self,
        network_info: NetworkInfoUpdate,
        server_details: dict[str, str],
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> bool:
        """Whether the networks of a server can change like this. Changes nothing. False or
        `Refused(reason)` denies; the project sees the reason if it `is_public`. Any other error
        is a denial in the end.

        One call adds or removes, never both. An addition needs the capability
        `network_allocation_update_support`; the entries of `added` have no allocations yet and an
        empty `share_network_subnet_id`. A removal needs `share_server_subnet_removal_support`; the
        entries of `removed` have their allocations. A request waits two seconds for the answers of
        all back ends.
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
        no restart, no lost lock, no other route, the same export locations.

        One call adds or removes, never both. Returns the **full** new list of export locations of
        each share, and of each mountable snapshot, whose list changed, old paths first and
        unchanged; and details to merge into the known ones.

        An addition (capability `network_allocation_update_support`): `current` stays, `added` is
        new. On failure the server keeps serving its old subnets. The same call, with the same
        addresses, follows after a crash and for `retry_network_update`. With
        `export_subnets_support`, shares with a choice may have rules that mean something else on
        the new subnets: update both, rules first.

        A removal (capability `share_server_subnet_removal_support`): `current` stays and is never
        empty; `removed` is given up, with its allocations. When the call returns, nothing of the
        server answers on those addresses: they are given to others next. An entry that is already
        gone is success. On failure the shares are served on `current`; the driver may or may not
        still serve the others. After a failure or a crash follows the same call, or one that adds
        the subnet (`abandon_network_update`), perhaps after `ensure_server` with the subnet among
        the server's networks.
        """
        raise _undeclared(_of_change(network_info))

    def update_share_server_drains(
        self, server: ShareServer, shares: Sequence[Share], snapshots: Sequence[Snapshot]
    ) -> ServerUpdate:
        """Refuse new clients on exactly those subnets of a server in use that are draining
        (`is_draining` in `server.network_info`), and admit them on all others.

        Connected clients continue, and may reconnect when their connection breaks; the driver
        decides what counts as connected, and for how long. Every driver leaves draining subnets out
        of new export locations (`create_share`, `create_share_from_snapshot`, `create_snapshot`).
        So after a drain is cancelled, this returns the full new list of export locations of each
        share and mountable snapshot made in the meantime. Existing locations stay during a drain.
        Needs no capability. If the driver refuses, the drain continues, new clients can connect,
        and the project gets a message. `setup_server`, `ensure_server` and
        `update_share_server_network_allocations` apply `is_draining` too.
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
        """Whether a server in use can join `new`, in place of `current` if that is not None.
        Changes nothing. False or `Refused(reason)` denies.

        Capability `security_service_update_support`. The entries of `server.network_info` have the
        security services as they would be after the change.
        """
        raise _undeclared("security_service_update_support")

    def update_share_server_security_service(
        self,
        server: ShareServer,
        shares: Sequence[Share],
        new: SecurityService,
        current: SecurityService | None,
    ) -> dict[str, str]:
        """Change a server in use from `current` to `new`; clients notice nothing else. Returns back
        end details to merge, if any.

        Capability `security_service_update_support`. The entries of `server.network_info` have the
        security services as they should be: leave any other that the server has joined. `current`
        is None for an addition, and in a repeated call if it has been deleted since.
        """
        raise _undeclared("security_service_update_support")

    def update_share_network_subnet_from_metadata(
        self, server: ShareServer, share_network_subnet_id: str, metadata: dict[str, str]
    ) -> None:
        """Apply metadata that was set on a subnet to a server in use. The subnet's entry in
        `server.network_info` has all of it as `subnet_metadata`, as `setup_server` gets it.

        Called once per server, for the keys that the administrator lists in the option
        driver_updatable_subnet_metadata; a deleted key is not passed on. Needs no capability. On
        failure the server continues as before, and the project gets a message. Repeated after a
        crash, perhaps with newer values.
        """
        raise Refused("This back end does not support metadata of subnets.", is_public=True)

    # --- shares -----------------------------------------------------------------------------------

    def ensure_shares(
        self, shares: Sequence[Share], snapshots: Sequence[Snapshot] = ()
    ) -> ServerUpdate | None:
        """As `ensure_server`, for everything on a back end without share servers. Returns the full
        lists of export locations of shares and mountable snapshots that are reached elsewhere than
        is described; None if there are none.

        Called when the worker starts, at an administrator's request, and when `unserved` still
        names `own_server_id` after a restart; never beside another call about its shares, but one
        that was given up and has not come back yet. By default nothing is done: most storage looks
        after itself.
        """
        return None

    @abstractmethod
    def create_share(self, share: Share, server: ShareServer | None) -> list[ExportLocation]:
        """Make a share of `share.size` GiB on `share.pool` that nobody may access yet.

        Returns one export location for each address of the server, in the order of
        `network_info` and of its allocations (without share servers: each address of the back
        end), as `10.0.0.5:/path`, `[fd00::5]:/path` or
        `\\\\10.0.0.5\\name`; paths of different shares differ, and with `mount_point_name_support`
        those of a share with a name end with it (`path_name`). The first of each IP family is
        `preferred`. Others, with `is_admin_only` (a management network, for instance), may be
        anywhere in the list and of any form. Raises NoSpace when the pool has no room: another pool
        is tried. Raises Refused for another protocol or an unknown server. After a failure
        `delete_share` follows.
        """

    @abstractmethod
    def delete_share(self, share: Share, server: ShareServer | None) -> None:
        """Delete a share and its data, in use or not. A share that does not exist is success, and
        `server` may be partly deleted.

        Never called for a share with snapshots. Shares made from its former snapshots stay.
        """

    def manage_share(
        self,
        share: Share,
        export_path: str,
        server: ShareServer | None,
        driver_options: Mapping[str, str],
    ) -> ManagedShare:
        """Take over a share that `server` exports as `export_path`: from now on it is named
        `share.id`.

        If the path ends with an id, that is `share.id`: shares that Abaca made come back with
        theirs, and nothing is renamed. `share.size` is 0. Returns the size in whole GiB and the
        full list of export locations. Needs no capability. Raises Refused if there is no such share
        of that protocol. `update_access` follows, without rules. May be repeated after the
        renaming.
        """
        raise Refused("This back end cannot manage existing shares.", is_public=True)

    def unmanage_share(self, share: Share, server: ShareServer | None) -> None:
        """Abaca forgets a share without snapshots, whose data and size stay. Whether its clients go
        on, and until when, is the back end's affair. Needs no capability."""
        raise Refused("This back end cannot unmanage shares.", is_public=True)

    @abstractmethod
    def extend_share(self, share: Share, new_size: int, server: ShareServer | None) -> None:
        """Grow a share to `new_size` GiB, which it may have already. Clients notice only the
        room."""

    @abstractmethod
    def shrink_share(self, share: Share, new_size: int, server: ShareServer | None) -> None:
        """Shrink a share to `new_size` GiB, which it may have already. Raises Refused, with both
        numbers, if it holds more than that; the share stays available."""

    @abstractmethod
    def update_access(
        self, share: Share, access_rules: Sequence[AccessRule], server: ShareServer | None
    ) -> dict[str, str]:
        """Enforce exactly these rules (no rules: no access). Returns the rules that cannot be
        enforced, rule id → reason, which is always public; they grant nothing. Return a rule
        rather than approximate it. Called with all rules whenever one changes.

        If `share.export_choice` is not free (capability `export_subnets_support`), a rule grants
        only its part in the ranges of the chosen subnets. One that touches no range of the
        server's subnets is for clients behind routers, and is enforced as it is, if a subnet of its
        IP version is chosen. A rule of which nothing is left is among those returned;
        `abaca.drivers.export_ranges.granted` computes this.
        """

    def export_locations(
        self, what: Share | Snapshot, server: ShareServer | None
    ) -> list[ExportLocation]:
        """The export locations of a share, or of a mountable snapshot, by the share's
        `export_choice`, in the order of `create_share`. Changes nothing.

        Capability `export_subnets_support`. Called after each `update_access` and
        `update_snapshot_access`: that is how the driver learns of a changed choice. Raises Refused
        when the server has none of the chosen subnets (see `exported_on`).
        """
        raise _undeclared("export_subnets_support")

    # --- snapshots --------------------------------------------------------------------------------

    def create_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> SnapshotUpdate:
        """Take a snapshot of `snapshot.share`; its clients keep writing and notice nothing.

        Capability `snapshot_support`. Returns the `provider_location`. One that `is_mountable`
        (capability `mount_snapshot_support`) is exported read-only by its access rules, and its
        export locations are returned in the order of the share's. Raises NoSpace, and leaves
        nothing, if it would take room that shares are promised; the project reads the message. A
        repeated call keeps the first snapshot. After a failure `delete_snapshot` follows.
        """
        raise _undeclared("snapshot_support")

    def create_group_snapshot(
        self, snapshots: Sequence[Snapshot], server: ShareServer | None
    ) -> dict[str, SnapshotUpdate]:
        """Take snapshots of several shares, at least one, of one instant: what any client had been
        told is written is in them, and nothing that a client wrote after it was told of something
        that is not. All shares are on the same server and pool; none of the snapshots
        `is_mountable`.

        Capability `consistent_snapshot_support`. Returns as `create_snapshot` does, by the
        snapshots' ids. A repeated call may exchange all of them, as nobody has used them. After a
        failure `delete_snapshot` follows for each. Clients may wait for a moment; they get no
        error.
        """
        raise _undeclared("consistent_snapshot_support")

    def delete_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> None:
        """Delete a snapshot, mounted or not. One that does not exist is success; `server` may be
        partly deleted, and shares made from the snapshot stay. Capability `snapshot_support`."""
        raise _undeclared("snapshot_support")

    def create_share_from_snapshot(
        self, share: Share, snapshot: Snapshot, server: ShareServer | None
    ) -> list[ExportLocation]:
        """As `create_share`, with the snapshot's data. `share` is on the same server and pool, and
        not smaller than `snapshot.size`.

        Capability `create_share_from_snapshot_support`. Afterwards share and snapshot are
        independent of each other.
        """
        raise _undeclared("create_share_from_snapshot_support")

    def revert_to_snapshot(
        self, snapshot: Snapshot, share: Share, server: ShareServer | None
    ) -> None:
        """Revert a share, in use or not, to its newest snapshot, with `snapshot.size` GiB. Its
        export locations and rules stay. Newer ones can be left that could not be deleted and are
        shown to nobody: a driver that cannot revert past them deletes them, or raises.

        Capability `revert_to_snapshot_support`. Data written since is lost; open files may be stale
        and locks gone. With the capability `revert_keeps_mounts`, mounts stay valid, and so do
        handles of files and folders that are unchanged since the snapshot: clients may wait a
        moment but see no error. Without it they may have to mount again.
        """
        raise _undeclared("revert_to_snapshot_support")

    def update_snapshot_access(
        self, snapshot: Snapshot, access_rules: Sequence[AccessRule], server: ShareServer | None
    ) -> dict[str, str]:
        """As `update_access`, for a mountable snapshot; all rules are `ro`. They are those of its
        share, its own, or both: the service says which. Capability `mount_snapshot_support`."""
        raise _undeclared("mount_snapshot_support")

    def manage_snapshot(
        self,
        snapshot: Snapshot,
        server: ShareServer | None,
        driver_options: Mapping[str, str],
    ) -> ManagedSnapshot:
        """Take over a snapshot of `snapshot.share` that is there as `snapshot.provider_location`:
        from now on it is named `snapshot.id`.

        If the location ends with an id, that is `snapshot.id`, unless something else here has it.
        `snapshot.size` is 0. A mountable one is exported as by `create_snapshot`. Needs no
        capability. Raises Refused unless it is a snapshot of that very share: an administrator's
        slip must not show one project what another has stored. Projects may read why, so a public
        text does not name the location. May be repeated.
        """
        raise Refused("This back end cannot manage existing snapshots.", is_public=True)

    def unmanage_snapshot(self, snapshot: Snapshot, server: ShareServer | None) -> None:
        """Abaca forgets a snapshot, which stays where it is; nobody can mount it any more. Nothing
        there is success. Needs no capability."""
        raise Refused("This back end cannot unmanage snapshots.", is_public=True)

    # --- backups ----------------------------------------------------------------------------------
    #
    # All of the capability `backup_support`. Copying takes hours: `begin_backup`, `end_backup` and
    # `end_restore` are calls about the share, as those above; the others never wait for its server,
    # and each comes back within a minute or so.

    def begin_backup(self, backup: Backup, share: Share, server: ShareServer | None) -> None:
        """Fix what the share holds at this instant, for `continue_backup` to copy; its clients
        keep writing and notice nothing. A repeated call keeps what the first one fixed. Raises
        NoSpace, and leaves nothing, if that would take room that shares are promised."""
        raise _undeclared("backup_support")

    def continue_backup(self, backup: Backup) -> BackupProgress:
        """Copy for at most a minute what `begin_backup` fixed, and tell how far that has come.
        Called again until it is done, perhaps after a crash. After a failure `end_backup` and later
        `delete_backup` follow."""
        raise _undeclared("backup_support")

    def end_backup(self, backup: Backup, share: Share, server: ShareServer | None) -> None:
        """Give up what `begin_backup` fixed, and stop copying it; the copy stays. Called after
        success and after failure. Nothing there is success."""
        raise _undeclared("backup_support")

    def continue_restore(self, backup: Backup, share: Share) -> BackupProgress:
        """Fetch the backup, for at most a minute, to a place beside the share, whose clients notice
        nothing; and tell how far that has come. Called again until it is done, perhaps after a
        crash. `share` may be another one than `backup.share_id`; it is not smaller. Raises NoSpace
        if there is no room for both."""
        raise _undeclared("backup_support")

    def end_restore(self, backup: Backup, share: Share, server: ShareServer | None) -> None:
        """Replace what the share holds by what `continue_restore` fetched, as `revert_to_snapshot`
        does for clients. A repeated call changes nothing."""
        raise _undeclared("backup_support")

    def abandon_restore(self, backup: Backup, share: Share, server: ShareServer | None) -> None:
        """Give up what `continue_restore` has fetched; the share stays as it is. Nothing there is
        success."""
        raise _undeclared("backup_support")

    def delete_backup(self, backup: Backup) -> None:
        """Delete the copy, whole or not. One that does not exist is success. Other backups of the
        share stay."""
        raise _undeclared("backup_support")


def required(server: ShareServer | None) -> ShareServer:
    """The share server of a call, for drivers that declare `driver_handles_share_servers`. Raises
    Refused if there is none."""
    if server is None:
        raise Refused(
            "This back end needs a share server for every share "
            "(driver_handles_share_servers=True), and this share has none."
        )
    return server


def path_name(name: str | None, share_id: str) -> str:
    """What export paths of a share end with: its mount point name, if it has one, or its id. Raises
    Refused for what could be the id of another share, or is more than a plain name."""
    if not name:
        return share_id
    if not _PATH_NAME.fullmatch(name) or UUID_PATTERN.fullmatch(name):
        raise Refused(f"{name[:300]!r} cannot be a mount point name.")
    return name


def _of_change(update: NetworkInfoUpdate) -> str:
    """The capability needed for a change of networks."""
    if update.removed:
        return "share_server_subnet_removal_support"
    return "network_allocation_update_support"


def _undeclared(capability: str) -> Refused:
    return Refused(f"The back end does not support this (any more): {capability}.", is_public=True)
