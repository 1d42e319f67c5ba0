"""What a back end is asked to do. One class to inherit, one object a back end.

Rules that hold for every method:

* Blind: values in, values out. No database, no context, no configuration globals.
* Idempotent by the ids given. Every call may be repeated after a crash, and then **without** the details that the lost call would have
  returned: look for what the call is about to make, by a name derived from the id, before making it.
* Failures are `BackendError`s, sorted by what to do next (see `abaca.errors`). Anything else counts as a bug of the driver.
  A failure may carry partial details.
* Methods may be called from several threads. Calls about one share server never overlap with a call that changes that server.
* A method belongs to a capability: what a driver does not declare is never called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from abaca.drivers.capabilities import Capabilities
from abaca.values import (
    AccessRule,
    ExportLocation,
    NetworkInfo,
    NetworkInfoUpdate,
    PoolStats,
    ServerUpdate,
    Share,
    ShareServer,
    Snapshot,
)


class ShareDriver(ABC):
    """A back end. Made once by the worker with its own options: `Driver(backend_name, options)`; see `drivers/registry.py`."""

    OPTIONS: ClassVar[Mapping[str, str]] = {}
    """The options that may stand in the back end's section of the configuration: name → help text. Their values reach the constructor as text."""

    capabilities: Capabilities

    @abstractmethod
    def check_for_setup_error(self) -> None:
        """Prepare the back end (idempotent); called once when the worker starts, before anything else. Raises Unavailable, naming what is missing."""

    @abstractmethod
    def get_pools(self) -> list[PoolStats]:
        """Capacities in GiB and capabilities of each pool, now. Cheap: called every few seconds."""

    # --- share servers ---------------------------------------------------------------------------------------------

    @abstractmethod
    def get_network_allocations_number(self) -> int:
        """Addresses that a share server needs on each of its subnets (1 or more)."""

    @abstractmethod
    def setup_server(self, server_id: str, network_info: Sequence[NetworkInfo]) -> dict[str, str]:
        """Make a share server. `network_info`: one entry a subnet, the oldest first, each with its allocations.

        Returns back end details, a flat map of strings (`{"server_name": …}`); they are shown to administrators.
        A failure on one subnet is a failure of the whole; what was made is taken away by `teardown_server`.
        """

    @abstractmethod
    def ensure_server(self, server: ShareServer, shares: Sequence[Share]) -> None:
        """Bring a server and its shares (with their access rules and sizes) from whatever is there to the state described.

        Called for every server when the worker starts (after a reboot nothing but the stored data is there) and when drift is
        repaired. Touches nothing that is already right: clients of a healthy server notice nothing. Shares that are not complete are
        brought back only if they are there. Raises Refused, after everything else is in order, when the data of a complete one is gone.
        """

    @abstractmethod
    def teardown_server(self, server_id: str, backend_details: dict[str, str]) -> None:
        """Take a server away with everything made for it. Nothing there is success; half there, too."""

    def check_update_share_server_network_allocations(
        self,
        network_info: NetworkInfoUpdate,
        server_details: dict[str, str],
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> bool:
        """May the networks of a server change so? False or `Refused(reason)` denies; changes nothing.

        Capability `network_allocation_update_support`. The entries of `added` hold no allocations yet.
        """
        raise AssertionError(f"{type(self).__name__} does not declare network_allocation_update_support")

    def update_share_server_network_allocations(
        self,
        network_info: NetworkInfoUpdate,
        server_details: dict[str, str],
        shares: Sequence[Share],
        snapshots: Sequence[Snapshot],
    ) -> ServerUpdate:
        """Change the networks of a server in use. Clients on the subnets that stay notice nothing.

        Capability `network_allocation_update_support`. On failure the server keeps serving its old subnets.
        Returns the full, new list of export locations of each share whose list changed.
        """
        raise AssertionError(f"{type(self).__name__} does not declare network_allocation_update_support")

    # --- shares ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def create_share(self, share: Share, server: ShareServer) -> list[ExportLocation]:
        """Make a share of `share.size` GiB that nobody may access yet. Returns its export locations, the preferred ones of each family first.

        Raises NoSpace when the pool has no room.
        """

    @abstractmethod
    def delete_share(self, share: Share, server: ShareServer) -> None:
        """Delete a share and its data, in use or not. Nothing there is success. `server` may be half gone."""

    @abstractmethod
    def extend_share(self, share: Share, new_size: int, server: ShareServer) -> None:
        """Grow a share to `new_size` GiB. Clients notice nothing but the room."""

    @abstractmethod
    def shrink_share(self, share: Share, new_size: int, server: ShareServer) -> None:
        """Shrink a share to `new_size` GiB. Raises Refused, with both numbers, when it holds more than that."""

    @abstractmethod
    def update_access(self, share: Share, access_rules: Sequence[AccessRule], server: ShareServer) -> dict[str, str]:
        """Make exactly these rules hold (default deny). Returns the rules that cannot be enforced: rule id → reason; they grant nothing."""
