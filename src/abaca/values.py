"""Frozen values that cross layers: what drivers, network plug-ins and the scheduler take and give.

No rows, no wire formats: a database row becomes one of these before it leaves `domain`, and a
driver never sees anything else. Sizes are whole GiB unless the name says otherwise. Times are not
here. Everything converts to and from JSON with msgspec, because the results of workflow steps are
stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all values: immutable, compared by content, made with keywords only."""


SYSTEM = ""  # the project id of callers whose token is for the whole system and no project


class Caller(Value):
    """Who asks. `is_admin`: sees and may touch every project's resources. `project_id`: SYSTEM for
    whom has none."""

    user_id: str
    project_id: str
    roles: tuple[str, ...] = ()
    is_admin: bool = False


class Host(Value):
    """Where a pool is: worker host, back end and pool, written `host@backend#pool` (pool
    optional)."""

    host: str
    backend: str
    pool: str | None = None

    @classmethod
    def parse(cls, text: str) -> Host:
        """`text`: `host@backend` or `host@backend#pool`. Raises ValueError when it is neither."""
        service, _, pool = text.partition("#")
        host, at, backend = service.partition("@")
        if not at or not host or not backend:
            raise ValueError(f"'{text}' is not of the form host@backend or host@backend#pool")
        return cls(host=host, backend=backend, pool=pool or None)

    @property
    def service(self) -> str:
        """`host@backend`."""
        return f"{self.host}@{self.backend}"

    def __str__(self) -> str:
        return f"{self.service}#{self.pool}" if self.pool else self.service


class Subnet(Value):
    """A subnet as a network plug-in knows it (Neutron's fields).

    `cidr`, `gateway` are text; `gateway` is None when the subnet has none; `segmentation_id` is
    None for flat networks. `physical_network`: the name by which administrators know the wire of a
    flat or VLAN network.
    """

    neutron_net_id: str
    neutron_subnet_id: str
    cidr: str
    ip_version: int
    gateway: str | None = None
    mtu: int = 1500
    network_type: str = "flat"
    segmentation_id: int | None = None
    physical_network: str | None = None


class NetworkAllocation(Value):
    """One address on one subnet, given to a share server. `ip_address` without prefix length,
    `mac_address` as aa:bb:cc:dd:ee:ff."""

    id: str
    ip_address: str
    mac_address: str


class SecurityService(Value):
    """An LDAP, Kerberos or Active Directory domain that a share server joins. Its password is
    clear: such a value is never stored."""

    id: str
    type: str
    dns_ip: str | None = None
    server: str | None = None
    domain: str | None = None
    ou: str | None = None
    default_ad_site: str | None = None
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Without the password: what is shown may be logged."""
        return f"SecurityService(id={self.id!r}, type={self.type!r})"


class NetworkInfo(Value):
    """One share network subnet of a share server with the server's addresses on it. The seed's
    network_info entry.

    `is_draining`: the subnet is to leave the server. Clients that use it are served, but new shares
    and snapshots get no export locations there.
    """

    server_id: str
    share_network_subnet_id: str
    subnet: Subnet
    network_allocations: list[NetworkAllocation]
    security_services: list[SecurityService] = []
    subnet_metadata: dict[str, str] = {}
    is_draining: bool = False


class NetworkInfoUpdate(Value):
    """What changes on a share server's networks: entries that stay, come and go.

    In a check, the entries of `added` hold no allocations yet; those of `removed` do.
    """

    current: list[NetworkInfo]
    added: list[NetworkInfo]
    removed: list[NetworkInfo] = []
    security_services: list[SecurityService] = []


class AccessRule(Value):
    """Who may use a share. `access_type`: ip, user, cert or cephx; `access_level`: rw or ro;
    `access_to`: for ip an address or a prefix."""

    id: str
    access_type: str
    access_to: str
    access_level: str


class ExportChoice(Value):
    """On which subnets of its share server a share is exported: those that every one of the two
    admits.

    `share_network_subnet_ids` None: any; `ip_version` None: both. Without either, on all, also on
    those that the server is given later.
    """

    share_network_subnet_ids: list[str] | None = None
    ip_version: int | None = None

    @property
    def is_free(self) -> bool:
        """Whether nothing was chosen."""
        return self.share_network_subnet_ids is None and self.ip_version is None

    def of(self, network_info: Sequence[NetworkInfo]) -> list[NetworkInfo]:
        """Those of a server's networks on which the share is exported, in their order."""
        return [
            info
            for info in network_info
            if self.admits(info.share_network_subnet_id, info.subnet.ip_version)
        ]

    def admits(self, share_network_subnet_id: str, ip_version: int | None) -> bool:
        """Whether it is exported there. `ip_version` None: it is not known yet, and may be any."""
        ids, version = self.share_network_subnet_ids, self.ip_version
        return (ids is None or share_network_subnet_id in ids) and (
            None in (version, ip_version) or ip_version == version
        )


class ExportLocation(Value):
    """A path under which clients reach a share, for example `10.0.0.5:/shares/<id>` or
    `[fd00::5]:/shares/<id>`.

    `ip_version`: 4 or 6, of the address in it, which nobody reads from the path; None when it has
    none. Of those that drivers call `preferred`, one of each IP version is shown so, the one that
    has been there longest.
    """

    path: str
    ip_version: int | None = None
    preferred: bool = False
    is_admin_only: bool = False
    metadata: dict[str, str] = {}


class Share(Value):
    """A share instance as a driver sees it. `id` is the share instance's id and names everything
    the driver makes for it.

    `is_complete` False: it is just being made, or failed; it may not be there, and is served only
    if it is. `is_resizing` True: its size is just being changed, so that the one it has may be the
    old one or the new one. `extra_specs`: those of its share type as they are now. `export_choice`:
    on which subnets of its server it is exported, with its mountable snapshots. `project_id`,
    `name`: whose share it is and what they call it; a name may be any text, is not unique, and None
    when there is none.
    """

    id: str
    share_id: str
    size: int
    share_proto: str
    pool: str
    share_server_id: str | None = None
    is_complete: bool = True
    is_resizing: bool = False
    access_rules: list[AccessRule] = []
    export_locations: list[ExportLocation] = []
    metadata: dict[str, str] = {}
    extra_specs: dict[str, str] = {}
    export_choice: ExportChoice = ExportChoice()
    project_id: str = ""
    name: str | None = None


class Snapshot(Value):
    """A snapshot instance as a driver sees it. `id` is the snapshot instance's id and names
    everything the driver makes for it.

    `size`: GiB that its share had when it was taken. `is_mountable`: clients may mount it, by the
    `access_rules`, which are all `ro`. `is_complete` False: it is just being made, or failed; it
    may not be there.
    """

    id: str
    snapshot_id: str
    share: Share
    size: int
    is_mountable: bool = False
    is_complete: bool = True
    access_rules: list[AccessRule] = []
    export_locations: list[ExportLocation] = []
    provider_location: str | None = None


class ShareServer(Value):
    """A share server as a driver sees it: its networks in a stable order (oldest subnet first) and
    what the driver said of it before.

    `backend_details` may be empty although `setup_server` once ran: a crash can lose its answer.
    """

    id: str
    network_info: list[NetworkInfo]
    backend_details: dict[str, str] = {}


class OpenFiles(Value):
    """What a client has open in one share: files, and locks on them. `locks` is None when the back
    end cannot count them."""

    files: int
    locks: int | None = None


class Client(Value):
    """A machine that is connected to a share server now, by one of the server's addresses.

    One that uses two addresses of the server is two clients; its connections to one address are
    counted, not listed. `address`, `server_address`: as text, IPv4 never in its IPv6 form.
    `protocol_version`: `4.1`. `idle_seconds`: since the client last sent something. `open_files`:
    by share instance or snapshot instance id; what is not listed has none. None stands for what the
    back end cannot tell; it never guesses. File names, user ids and what clients call themselves
    have no place here.
    """

    address: str
    server_address: str
    protocol: str
    protocol_version: str | None = None
    connections: int = 1
    idle_seconds: int | None = None
    open_files: dict[str, OpenFiles] | None = None


class Clients(Value):
    """The clients of a share server. `is_complete` False: there are more than the driver lists, or
    some may be on their way back after the file server was started anew."""

    listed: list[Client]
    is_complete: bool = True


class ManagedServer(Value):
    """A share server that a driver has taken over: the addresses that it answers on, in the order
    of its export locations, and its details."""

    ip_addresses: list[str]
    backend_details: dict[str, str] = {}


class ManagedShare(Value):
    """A share that a driver has taken over: the GiB that it has, and where clients reach it."""

    size: int
    export_locations: list[ExportLocation]


class ShareUpdate(Value):
    """What a driver tells of a share after its server's networks changed. None: unchanged."""

    export_locations: list[ExportLocation] | None = None
    pool_name: str | None = None


class SnapshotUpdate(Value):
    """What a driver tells of a snapshot, once it is taken or after its server's networks changed.
    None: unchanged.

    `provider_location`: how the back end calls it, shown to administrators. `export_locations`:
    only of one that can be mounted.
    """

    provider_location: str | None = None
    export_locations: list[ExportLocation] | None = None


class AccessUpdate(Value):
    """What came of making access rules hold: the rules that cannot be enforced, id → reason, and
    the full list of export locations where it is another one now, else None."""

    rejected: dict[str, str] = {}
    export_locations: list[ExportLocation] | None = None


class ServerUpdate(Value):
    """What a driver answers when the networks of a share server have changed: updates by share
    instance id, by snapshot instance id, and new details."""

    share_updates: dict[str, ShareUpdate] = {}
    snapshot_updates: dict[str, SnapshotUpdate] = {}
    backend_details: dict[str, str] = {}


class PoolStats(Value):
    """What a back end reports of one pool. Capacities in GiB; `capabilities` are Manila's pool
    capabilities by their names.

    `snapshot_capacity_gb`: what snapshots keep beside the sizes of shares, and so cannot be
    promised.
    """

    pool_name: str
    total_capacity_gb: float
    free_capacity_gb: float
    snapshot_capacity_gb: float = 0.0
    reserved_percentage: int = 0
    max_over_subscription_ratio: float = 1.0
    thin_provisioning: bool = False
    capabilities: dict[str, Any] = {}


class Pool(Value):
    """A pool as the scheduler sees it: reported capacities, what Abaca has promised on it, its
    zone, whether its service is up and enabled."""

    host: Host
    availability_zone: str
    stats: PoolStats
    allocated_capacity_gb: int
    is_up: bool = True
    is_enabled: bool = True


class PlacementRequest(Value):
    """What the scheduler is asked: a size, the share type's extra specs, and for each zone in
    question whether it has several subnets.

    `zones`: zone name → True when the share network has more than one subnet there; None: any zone
    will do and no network is involved.
    """

    size: int
    share_proto: str
    extra_specs: dict[str, str]
    zones: dict[str, bool] | None = None
    availability_zone: str | None = None


class Page(Value):
    """Which part of a list is wanted, and in what order. None: no limit, or the list's own order.

    `after`: (created_at, id) of the row before, in a list by age; else the part begins `offset`
    rows after the first.
    """

    limit: int | None = None
    offset: int = 0
    sort_key: str | None = None
    sort_dir: str | None = None
    after: tuple[datetime, str] | None = None
