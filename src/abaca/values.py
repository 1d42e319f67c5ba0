"""Frozen values that cross layers: arguments and results of drivers, network plug-ins and the
scheduler.

No rows, no wire formats: a database row becomes one of these before it leaves `domain`, and a
driver never sees anything else. Sizes are whole GiB unless the name says otherwise; addresses and
prefixes are text. There are no times. Everything converts to and from JSON with msgspec, because
the results of workflow steps are stored.
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
    """Who makes a request. `is_admin`: sees and may change every project's resources.
    `project_id`: SYSTEM for a caller without one. `token`: the name of the application token by
    which the user logged in, if by one. `sees_deferred`: whether what is being deleted by a
    deferred deletion is shown; None: if it is an administrator."""

    user_id: str
    project_id: str
    roles: tuple[str, ...] = ()
    is_admin: bool = False
    token: str = ""
    sees_deferred: bool | None = None

    @property
    def is_shown_deferred(self) -> bool:
        """`sees_deferred`, decided."""
        return self.is_admin if self.sees_deferred is None else self.sees_deferred


class Host(Value):
    """The address of a pool: worker host, back end and pool, written `host@backend#pool` (pool
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

    `ip_version` is 4 or 6. `gateway` is None if the subnet has none; `segmentation_id` is None for
    flat networks. `physical_network`: Neutron's name for how a flat or VLAN network is reached.
    `is_local`: the network is one of Abaca's own, not Neutron's.
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
    is_local: bool = False


class NetworkAllocation(Value):
    """One address on one subnet, given to a share server. `ip_address` without prefix length,
    `mac_address` as aa:bb:cc:dd:ee:ff."""

    id: str
    ip_address: str
    mac_address: str


class RemotePort(Value):
    """A port of a network that is on another host, which is reached at `tunnel_address`. Addresses
    without prefix length, as they are stored."""

    mac_address: str
    ip_addresses: list[str]
    tunnel_address: str


class SpannedNetwork(Value):
    """A VXLAN network of Abaca's own on this host, with its ports on other hosts."""

    network_id: str
    segmentation_id: int
    mtu: int
    remote_ports: list[RemotePort]


class TunnelEnd(Value):
    """This host's end of the tunnels between hosts. `address` with the prefix length of the network
    that all ends are in: `10.99.0.1/24`."""

    address: str
    port: int


class Answers(Value):
    """Of places of other hosts. `at`: where they answer. `unasked`: of places that this host cannot
    ask, why."""

    at: list[str]
    unasked: dict[str, str]


class SecurityService(Value):
    """An LDAP, Kerberos or Active Directory domain that a share server joins. The password is in
    clear text: never store such a value, and keep the password out of details, messages and
    logs."""

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
        """Without the password, as a representation may be logged."""
        return f"SecurityService(id={self.id!r}, type={self.type!r})"


class NetworkInfo(Value):
    """One share network subnet of a share server, with the server's addresses on it.

    `is_draining`: the subnet is about to be removed. Its clients are served, but new shares and
    snapshots get no export locations there.
    """

    server_id: str
    share_network_subnet_id: str
    subnet: Subnet
    network_allocations: list[NetworkAllocation]
    security_services: list[SecurityService] = []
    subnet_metadata: dict[str, str] = {}
    is_draining: bool = False


class NetworkInfoUpdate(Value):
    """A change of a share server's networks: the entries that stay (`current`), that are `added`
    and that are `removed`.

    In a check, the entries of `added` have no allocations yet; those of `removed` do.
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
    """On which subnets of its share server a share is exported: those that match both fields.

    `share_network_subnet_ids` None: any; `ip_version` None: both. With neither, on all subnets,
    including those that the server gets later.
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
        """Whether the share is exported on a subnet. `ip_version` None: not known yet, so it may
        be either."""
        ids, version = self.share_network_subnet_ids, self.ip_version
        return (ids is None or share_network_subnet_id in ids) and (
            None in (version, ip_version) or ip_version == version
        )


class ExportLocation(Value):
    """A path under which clients reach a share, for example `10.0.0.5:/shares/<id>` or
    `[fd00::5]:/shares/<id>`.

    `ip_version`: 4 or 6, of the address in the path, which is not parsed; None if it has none. Of
    the locations that a driver marks `preferred`, the oldest of each IP version is shown as
    preferred. `is_admin_only`: not shown to projects, and without influence on the number or
    preference of the others.
    """

    path: str
    ip_version: int | None = None
    preferred: bool = False
    is_admin_only: bool = False
    metadata: dict[str, str] = {}


class Share(Value):
    """A share instance as a driver sees it. `id` is the id of the *instance*: name everything that
    is made for it after `id`, not after `share_id`.

    `is_complete` False: it is being made, or failed; it may not exist. `is_resizing` True: its real
    size may be the old one or `size`. `extra_specs`: those of its share type now, all of them;
    `abaca.drivers.nfs_specs` reads the scope `nfs:`, and vendors' keys have scopes of their own.
    `export_choice`: on which subnets of its server it and its mountable snapshots are exported.
    `project_id`, `name`: the owner, and the owner's name for it: any text, not unique, or None.
    `mount_point_name`: what its export paths end with in place of `id`; no other share has it.
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
    mount_point_name: str | None = None


class Snapshot(Value):
    """A snapshot instance as a driver sees it. `id` is the id of the *instance*: name everything
    that is made for it after `id`.

    `size`: the size of the share when the snapshot was taken. `is_mountable`: clients may mount it
    by the `access_rules`, which are all `ro`. `is_complete` False: it is being made, or failed; it
    may not exist.
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


class Backup(Value):
    """A backup of a share as a driver sees it. `share_id`: the share that it is a copy of (not an
    instance). `project_id`: the owner. `size`: the size of the share when it was asked for."""

    id: str
    share_id: str
    project_id: str
    size: int


class BackupProgress(Value):
    """How far copying has come. `percent`: 0 to 100, as well as it can be told."""

    is_done: bool
    percent: int = 0


class ShareServer(Value):
    """A share server as a driver sees it: its networks in a stable order (oldest subnet first) and
    the details that the driver returned for it (flat, text to text).

    `backend_details` may be empty although `setup_server` has run: a crash can lose its answer.
    """

    id: str
    network_info: list[NetworkInfo]
    backend_details: dict[str, str] = {}


class OpenFiles(Value):
    """How many files a client has open in one share, and locks on them. `locks` is None if the back
    end cannot count them."""

    files: int
    locks: int | None = None


class Client(Value):
    """A machine that is connected now to one address of a share server.

    A machine that uses two addresses of the server is two clients; several connections to one
    address are one client. `address`, `server_address`: as the server sees them, IPv4 never in
    IPv6 form. `protocol_version`: for example `4.1`. `idle_seconds`: since the client last sent
    something. `open_files`: by share instance or snapshot instance id; those not listed have none.
    None: the back end does not know; it never guesses. Never contains file names, user ids or
    names that clients choose.
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
    some may be reconnecting after the file server was restarted."""

    listed: list[Client]
    is_complete: bool = True


class ManagedServer(Value):
    """A share server that a driver has taken over: its addresses, in the order of its export
    locations, and its details."""

    ip_addresses: list[str]
    backend_details: dict[str, str] = {}


class ManagedShare(Value):
    """A share that a driver has taken over: its size in GiB, and all its export locations."""

    size: int
    export_locations: list[ExportLocation]


class ManagedSnapshot(Value):
    """A snapshot that a driver has taken over: its size in GiB (None: that of its share), the back
    end's name for it, and all export locations of a mountable one."""

    size: int | None = None
    provider_location: str | None = None
    export_locations: list[ExportLocation] | None = None


class ShareUpdate(Value):
    """A driver's answer for one share after its server's networks changed. None: unchanged.
    `pool_name` is not stored yet."""

    export_locations: list[ExportLocation] | None = None
    pool_name: str | None = None


class SnapshotUpdate(Value):
    """A driver's answer for one snapshot, when it was taken or its server's networks changed. None:
    unchanged.

    `provider_location`: the back end's name for it, shown to administrators. `export_locations`:
    only of a mountable snapshot.
    """

    provider_location: str | None = None
    export_locations: list[ExportLocation] | None = None


class AccessUpdate(Value):
    """The result of enforcing access rules: the rules that cannot be enforced, id → reason, and the
    full list of export locations if it changed, else None."""

    rejected: dict[str, str] = {}
    export_locations: list[ExportLocation] | None = None


class ServerUpdate(Value):
    """A driver's answer after the networks of a share server changed: updates by share instance id
    and by snapshot instance id, and details to merge."""

    share_updates: dict[str, ShareUpdate] = {}
    snapshot_updates: dict[str, SnapshotUpdate] = {}
    backend_details: dict[str, str] = {}


class Finding(Value):
    """One thing that was looked at to tell whether a client reaches a share.

    `what`: its name, `link eth1`. `seen`: what is there. `lack`: None when it is in order, else
    what is wrong and what to do.
    """

    what: str
    seen: str = ""
    lack: str | None = None


class PoolStats(Value):
    """What a back end reports about one pool. Capacities in GiB; `capabilities` are Manila's pool
    capabilities by name.

    `snapshot_capacity_gb`: the room that snapshots take beyond the sizes of shares, which cannot be
    promised to others.
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
    """A pool as the scheduler sees it: the reported capacities, the GiB allocated on it, its zone,
    and whether its service is up, and enabled on a host that takes shares. `share_servers`: how
    many its back end has."""

    host: Host
    availability_zone: str
    stats: PoolStats
    allocated_capacity_gb: int
    is_up: bool = True
    is_enabled: bool = True
    share_servers: int = 0


class PlacementRequest(Value):
    """A share to be placed: its size, its share type's extra specs, and the zones it may be in.

    `share_proto`: None for a share group, whose shares may have any. `zones`: zone name → True if
    the share network has more than one subnet there; None: any zone, and no network is involved.
    `only_pools`, `not_pools`: host@backend#pool; None: all pools.
    """

    size: int
    share_proto: str | None
    extra_specs: dict[str, str]
    zones: dict[str, bool] | None = None
    availability_zone: str | None = None
    only_pools: list[str] | None = None
    not_pools: list[str] = []


class Page(Value):
    """Which part of a list is requested, and in what order. None: no limit, or the default order.

    `after`: (created_at, id) of the last row of the page before, in a list by age; otherwise the
    page begins `offset` rows after the first.
    """

    limit: int | None = None
    offset: int = 0
    sort_key: str | None = None
    sort_dir: str | None = None
    after: tuple[datetime, str] | None = None
