"""What a driver declares that it can do, by Manila's names of pool capabilities."""

from __future__ import annotations

from typing import Any

import msgspec


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Declared once a driver. Absent means no.

    `storage_protocols`: the protocols served, for example `("NFS",)`. `revert_keeps_mounts`:
    clients of a share that is reverted need not mount it again.
    `share_server_subnet_removal_support`: share servers in use can give a subnet up.
    `export_subnets_support`: a share is exported on those subnets of its server that were chosen
    for it, and on no others. None of these three is Manila's.
    """

    storage_protocols: tuple[str, ...] = ("NFS",)
    driver_handles_share_servers: bool = True
    share_server_multiple_subnet_support: bool = False
    network_allocation_update_support: bool = False
    share_server_subnet_removal_support: bool = False
    security_service_update_support: bool = False
    snapshot_support: bool = False
    create_share_from_snapshot_support: bool = False
    revert_to_snapshot_support: bool = False
    mount_snapshot_support: bool = False
    revert_keeps_mounts: bool = False
    export_subnets_support: bool = False
    ipv4_support: bool = True
    ipv6_support: bool = False

    def as_pool_capabilities(self) -> dict[str, Any]:
        """As the scheduler and the pools API show them: names to booleans, and `storage_protocol`
        as text joined by `_`."""
        shown = msgspec.structs.asdict(self)
        shown["storage_protocol"] = "_".join(shown.pop("storage_protocols"))
        return shown
