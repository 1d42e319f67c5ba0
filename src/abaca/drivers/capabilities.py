"""The capabilities that a driver declares, by Manila's names of pool capabilities."""

from __future__ import annotations

from typing import Any

import msgspec


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Declared once per driver; each belongs to methods of `ShareDriver`.

    * `storage_protocols`: the protocols served, upper case, for example `("NFS",)`.
    * `driver_handles_share_servers`: shares are on share servers, which the driver makes for each
      tenant network. Without it the back end has one file server for all its shares, on addresses
      of its own; types and shares then need no share network.
    * `share_server_multiple_subnet_support`: `setup_server` takes more than one entry. Without it
      the back end gets only networks with one subnet in the zone.
    * `network_allocation_update_support`: servers in use can get another subnet. Stored with each
      server when it is made.
    * `share_server_subnet_removal_support` (not Manila's): servers in use can give up a subnet.
      Stored with each server too.
    * `security_service_update_support`: servers in use can change their security services. Stored
      with each server too.
    * `snapshot_support`, `create_share_from_snapshot_support`, `revert_to_snapshot_support`: the
      methods of these names.
    * `consistent_snapshot_support`: `create_group_snapshot`. Pools show it as Manila does, as
      `sg_consistent_snapshot_support`, `pool`: of the shares of a group, which are on one pool.
    * `mount_snapshot_support`: snapshots are exported. Such a back end also reports
      `snapshot_inherit_share_access_support`, both ways.
    * `mount_point_name_support`: export paths of shares that have a mount point name end with it.
    * `revert_keeps_mounts` (not Manila's): clients of a reverted share need not mount it again.
    * `backup_support` (not Manila's): backups of shares can be made, restored and deleted.
    * `export_subnets_support` (not Manila's): a share is exported only on those subnets of its
      server that were chosen for it.
    * `ipv4_support`, `ipv6_support`: addresses of that family. Nothing checks this for the driver:
      refuse subnets and rules of the other.
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
    consistent_snapshot_support: bool = False
    mount_point_name_support: bool = False
    revert_keeps_mounts: bool = False
    export_subnets_support: bool = False
    backup_support: bool = False
    ipv4_support: bool = True
    ipv6_support: bool = False

    def as_pool_capabilities(self) -> dict[str, Any]:
        """As the pools API shows them and the scheduler compares them with extra specs: name →
        boolean, and `storage_protocol` as text joined by `_`. What a back end can do either way is
        a list of both."""
        shown = msgspec.structs.asdict(self)
        shown["storage_protocol"] = "_".join(shown.pop("storage_protocols"))
        shown["sg_consistent_snapshot_support"] = (
            "pool" if shown.pop("consistent_snapshot_support") else None
        )
        # Whose rules hold is the service's affair: a driver is given those that do.
        shown["snapshot_inherit_share_access_support"] = (
            [True, False] if self.mount_snapshot_support else False
        )
        return shown
