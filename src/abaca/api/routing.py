"""Every route of the API: one table. A row: method, URL, handler, policy rule, first and last minor version, success status.

A URL stands here without a project id; `/v2/{project_id}/…` is taken everywhere (see `caller.ProjectInUrl`). Names that changed with a
version stand in two rows. Policy None: open to everyone.
"""

from __future__ import annotations

from abaca.api import metrics
from abaca.api.endpoint import Route, action
from abaca.api.resources import (
    access_rules,
    availability_zones,
    export_locations,
    extra_specs,
    local_networks,
    messages,
    metadata,
    quotas,
    resource_locks,
    scheduler_stats,
    security_services,
    services,
    share_groups,
    share_instances,
    share_network_security_services,
    share_network_subnets,
    share_networks,
    share_replicas,
    share_servers,
    share_type_access,
    share_types,
    shares,
    snapshot_export_locations,
    snapshots,
    versions,
)

_INSTANCE = "/v2/share_instances/{instance_id}"
_SNAPSHOT = "/v2/snapshots/{snapshot_id}"
_INSTANCE_ACTION = f"{_INSTANCE}/action"
_SERVER_ACTION = "/v2/share-servers/{share_server_id}/action"


def _metadata(path: str, of: metadata.Metadata, policy: str, since: int = 0) -> list[Route]:
    """The routes of a resource's metadata; the rules are `policy` filled with get, update and delete."""
    everything, one = f"{path}/metadata", f"{path}/metadata/{{key}}"
    get, update, delete = (policy.format(verb) for verb in ("get", "update", "delete"))
    return [
        Route("GET", everything, of.index, get, since),
        Route("POST", everything, of.merge, update, since),
        Route("PUT", everything, of.replace, update, since),
        Route("GET", one, of.show, get, since),
        Route("PUT", one, of.set_one, update, since),
        Route("POST", one, of.set_one, update, since),
        Route("DELETE", one, of.delete, delete, since),
    ]


def _quotas(sets: str, class_sets: str, since: int = 0, until: int | None = None) -> list[Route]:
    """The routes of quotas, under either of their names."""
    one, of_class = f"/v2/{sets}/{{project_id}}", f"/v2/{class_sets}/{{class_name}}"
    return [
        Route("GET", one, quotas.show, "quota_set:show", since, until),
        Route("PUT", one, quotas.update, "quota_set:update", since, until),
        Route("DELETE", one, quotas.delete, "quota_set:delete", since, until, 202),
        Route("GET", f"{one}/defaults", quotas.defaults, "quota_set:show", since, until),
        Route("GET", of_class, quotas.show_class, "quota_class_set:show", since, until),
        Route("PUT", of_class, quotas.update_class, "quota_class_set:update", since, until),
    ]


def _security_service_actions(path: str) -> list[Route]:
    """The actions of a share network about its security services."""
    of = share_network_security_services
    return [
        action(path, "add_security_service", of.add, "share_network:add_security_service", status=200),
        action(path, "remove_security_service", of.remove, "share_network:remove_security_service", status=200),
        action(path, "update_security_service", of.update, "share_network:update_security_service", since=63),
        action(path, "add_security_service_check", of.add_check, "share_network:add_security_service_check", since=63),
        action(path, "update_security_service_check", of.update_check, "share_network:update_security_service_check", since=63),
    ]


ROUTES: list[Route] = [
    # --- open
    Route("GET", "/", versions.versions, None, status=300),
    Route("GET", "/v2/", versions.versions, None),
    Route("GET", "/healthcheck", versions.healthcheck, None),
    # --- for those who watch over it
    Route("GET", "/metrics", metrics.show, "metrics:get"),
    # --- share types
    Route("GET", "/v2/types", share_types.index, "share_type:index"),
    Route("POST", "/v2/types", share_types.create, "share_type:create"),
    Route("GET", "/v2/types/default", share_types.default, "share_type:default"),
    Route("GET", "/v2/types/{type_id}", share_types.show, "share_type:show"),
    Route("PUT", "/v2/types/{type_id}", share_types.update, "share_type:update", since=50),
    Route("DELETE", "/v2/types/{type_id}", share_types.delete, "share_type:delete", status=202),
    Route("GET", "/v2/types/{type_id}/extra_specs", extra_specs.index, "share_types_extra_spec:index"),
    Route("POST", "/v2/types/{type_id}/extra_specs", extra_specs.create, "share_types_extra_spec:create"),
    Route("GET", "/v2/types/{type_id}/extra_specs/{key}", extra_specs.show, "share_types_extra_spec:show"),
    Route("PUT", "/v2/types/{type_id}/extra_specs/{key}", extra_specs.update, "share_types_extra_spec:update"),
    Route("DELETE", "/v2/types/{type_id}/extra_specs/{key}", extra_specs.delete, "share_types_extra_spec:delete", status=202),
    Route("GET", "/v2/types/{type_id}/os-share-type-access", share_type_access.index, "share_type:list_project_access"),
    Route("GET", "/v2/types/{type_id}/share_type_access", share_type_access.index, "share_type:list_project_access"),
    action("/v2/types/{type_id}/action", "addProjectAccess", share_type_access.add, "share_type:add_project_access"),
    action("/v2/types/{type_id}/action", "removeProjectAccess", share_type_access.remove, "share_type:remove_project_access"),
    # --- share networks
    Route("GET", "/v2/share-networks", share_networks.index, "share_network:index"),
    Route("POST", "/v2/share-networks", share_networks.create, "share_network:create"),
    Route("GET", "/v2/share-networks/detail", share_networks.detail, "share_network:index"),
    Route("GET", "/v2/share-networks/{share_network_id}", share_networks.show, "share_network:show"),
    Route("PUT", "/v2/share-networks/{share_network_id}", share_networks.update, "share_network:update"),
    Route("DELETE", "/v2/share-networks/{share_network_id}", share_networks.delete, "share_network:delete", status=202),
    action("/v2/share-networks/{share_network_id}/action", "reset_status", share_networks.reset_status, "share_network:reset_status", since=63),
    # --- security services
    Route("GET", "/v2/security-services", security_services.index, "security_service:index"),
    Route("POST", "/v2/security-services", security_services.create, "security_service:create"),
    Route("GET", "/v2/security-services/detail", security_services.detail, "security_service:detail"),
    Route("GET", "/v2/security-services/{security_service_id}", security_services.show, "security_service:show"),
    Route("PUT", "/v2/security-services/{security_service_id}", security_services.update, "security_service:update"),
    Route("DELETE", "/v2/security-services/{security_service_id}", security_services.delete, "security_service:delete", status=202),
    *_security_service_actions("/v2/share-networks/{share_network_id}/action"),
    # --- share network subnets, and the action that checks one before it is added
    Route("GET", "/v2/share-networks/{share_network_id}/subnets", share_network_subnets.index, "share_network_subnet:index", since=51),
    Route("POST", "/v2/share-networks/{share_network_id}/subnets", share_network_subnets.create, "share_network_subnet:create", since=51),
    Route("GET", "/v2/share-networks/{share_network_id}/subnets/{subnet_id}", share_network_subnets.show, "share_network_subnet:show", since=51),
    Route(
        "DELETE", "/v2/share-networks/{share_network_id}/subnets/{subnet_id}", share_network_subnets.delete, "share_network_subnet:delete",
        since=51, status=202,
    ),
    action(
        "/v2/share-networks/{share_network_id}/action", "share_network_subnet_create_check", share_network_subnets.create_check,
        "share_network:subnet_create_check", since=70,
    ),
    *_metadata("/v2/share-networks/{share_network_id}/subnets/{subnet_id}", metadata.SUBNET, "share_network_subnet:{}_metadata", since=78),
    # --- share servers
    Route("GET", "/v2/share-servers", share_servers.index, "share_server:index"),
    Route("GET", "/v2/share-servers/{share_server_id}", share_servers.show, "share_server:show"),
    Route("GET", "/v2/share-servers/{share_server_id}/details", share_servers.details, "share_server:details"),
    Route("DELETE", "/v2/share-servers/{share_server_id}", share_servers.delete, "share_server:delete", status=202),
    action(_SERVER_ACTION, "reset_status", share_servers.reset_status, "share_server:reset_status", since=49),
    action(_SERVER_ACTION, "reset_task_state", share_servers.reset_task_state, "share_server:reset_task_state", since=57),
    Route("POST", "/v2/share-servers/manage", share_servers.manage, "share_server:manage_share_server", since=49, status=202),
    action(_SERVER_ACTION, "unmanage", share_servers.unmanage, "share_server:unmanage_share_server", since=49),
    # --- shares
    Route("GET", "/v2/shares", shares.index, "share:get_all"),
    Route("POST", "/v2/shares", shares.create, "share:create"),
    Route("GET", "/v2/shares/detail", shares.detail, "share:get_all"),
    Route("GET", "/v2/shares/{share_id}", shares.show, "share:get"),
    Route("PUT", "/v2/shares/{share_id}", shares.update, "share:update"),
    Route("DELETE", "/v2/shares/{share_id}", shares.delete, "share:delete", status=202),
    action("/v2/shares/{share_id}/action", "os-extend", shares.extend, "share:extend", until=6),
    action("/v2/shares/{share_id}/action", "extend", shares.extend, "share:extend", since=7),
    action("/v2/shares/{share_id}/action", "os-shrink", shares.shrink, "share:shrink", until=6),
    action("/v2/shares/{share_id}/action", "shrink", shares.shrink, "share:shrink", since=7),
    action("/v2/shares/{share_id}/action", "os-force_delete", shares.force_delete, "share:force_delete", until=6),
    action("/v2/shares/{share_id}/action", "force_delete", shares.force_delete, "share:force_delete", since=7),
    action("/v2/shares/{share_id}/action", "soft_delete", shares.soft_delete, "share:soft_delete", since=69),
    action("/v2/shares/{share_id}/action", "restore", shares.restore, "share:restore", since=69),
    action("/v2/shares/{share_id}/action", "os-reset_status", shares.reset_status, "share:reset_status", until=6),
    action("/v2/shares/{share_id}/action", "reset_status", shares.reset_status, "share:reset_status", since=7),
    action("/v2/shares/{share_id}/action", "reset_task_state", shares.reset_task_state, "share:reset_task_state", since=22),
    Route("POST", "/v2/os-share-manage", shares.manage, "share:manage", until=6),
    Route("POST", "/v2/shares/manage", shares.manage, "share:manage", since=7),
    Route("POST", "/v2/os-share-unmanage/{share_id}/unmanage", shares.unmanage, "share:unmanage", until=6, status=202),
    action("/v2/shares/{share_id}/action", "unmanage", shares.unmanage, "share:unmanage", since=7),
    *_metadata("/v2/shares/{share_id}", metadata.SHARE, "share:{}_share_metadata"),
    # --- share instances
    Route("GET", "/v2/share_instances", share_instances.index, "share_instance:index", since=3),
    Route("GET", _INSTANCE, share_instances.show, "share_instance:show", since=3),
    Route("GET", "/v2/shares/{share_id}/instances", share_instances.index, "share_instance:index", since=3),
    action(_INSTANCE_ACTION, "os-reset_status", share_instances.reset_status, "share_instance:reset_status", since=3, until=6),
    action(_INSTANCE_ACTION, "reset_status", share_instances.reset_status, "share_instance:reset_status", since=7),
    action(_INSTANCE_ACTION, "os-force_delete", share_instances.force_delete, "share_instance:force_delete", since=3, until=6),
    action(_INSTANCE_ACTION, "force_delete", share_instances.force_delete, "share_instance:force_delete", since=7),
    # --- share replicas
    Route("GET", "/v2/share-replicas", share_replicas.index, "share_replica:get_all", since=11),
    Route("GET", "/v2/share-replicas/detail", share_replicas.index, "share_replica:get_all", since=11),
    # --- share groups
    Route("GET", "/v2/share-groups", share_groups.index, "share_group:get_all", since=31),
    Route("GET", "/v2/share-groups/detail", share_groups.index, "share_group:get_all", since=31),
    Route("GET", "/v2/share-group-types", share_groups.list_types, "share_group_type:index", since=31),
    Route("GET", "/v2/share-group-snapshots", share_groups.list_snapshots, "share_group_snapshot:get_all", since=31),
    Route("GET", "/v2/share-group-snapshots/detail", share_groups.list_snapshots, "share_group_snapshot:get_all", since=31),
    # --- access rules
    action("/v2/shares/{share_id}/action", "os-allow_access", access_rules.allow, "share:allow_access", until=6, status=200),
    action("/v2/shares/{share_id}/action", "allow_access", access_rules.allow, "share:allow_access", since=7, status=200),
    action("/v2/shares/{share_id}/action", "os-deny_access", access_rules.deny, "share:deny_access", until=6),
    action("/v2/shares/{share_id}/action", "deny_access", access_rules.deny, "share:deny_access", since=7),
    action("/v2/shares/{share_id}/action", "os-access_list", access_rules.list_of_share, "share:access_get_all", until=6, status=200),
    action("/v2/shares/{share_id}/action", "access_list", access_rules.list_of_share, "share:access_get_all", since=7, until=44, status=200),
    Route("GET", "/v2/share-access-rules", access_rules.index, "share_access_rule:index", since=45),
    Route("GET", "/v2/share-access-rules/{access_id}", access_rules.show, "share_access_rule:get", since=45),
    Route("PUT", "/v2/share-access-rules/{access_id}", access_rules.update, "share_access_rule:update", since=88),
    Route("PUT", "/v2/share-access-rules/{access_id}/metadata", metadata.ACCESS_RULE.merge, "share_access_metadata:update", since=45),
    Route("DELETE", "/v2/share-access-rules/{access_id}/metadata/{key}", metadata.ACCESS_RULE.delete, "share_access_metadata:delete", since=45),
    # --- resource locks
    Route("GET", "/v2/resource-locks", resource_locks.index, "resource_lock:get_all", since=81),
    Route("POST", "/v2/resource-locks", resource_locks.create, "resource_lock:create", since=81),
    Route("GET", "/v2/resource-locks/{lock_id}", resource_locks.show, "resource_lock:get", since=81),
    Route("PUT", "/v2/resource-locks/{lock_id}", resource_locks.update, "resource_lock:update", since=81),
    Route("DELETE", "/v2/resource-locks/{lock_id}", resource_locks.delete, "resource_lock:delete", since=81, status=204),
    # --- export locations
    Route("GET", "/v2/shares/{share_id}/export_locations", export_locations.index, "share_export_location:index", since=9),
    Route(
        "GET", "/v2/shares/{share_id}/export_locations/{export_location_id}", export_locations.show, "share_export_location:show", since=9
    ),
    Route("GET", f"{_INSTANCE}/export_locations", export_locations.of_instance, "share_instance_export_location:index", since=9),
    Route(
        "GET", f"{_INSTANCE}/export_locations/{{export_location_id}}", export_locations.show_of_instance, "share_instance_export_location:show",
        since=9,
    ),
    *_metadata(
        "/v2/shares/{share_id}/export_locations/{export_location_id}", metadata.EXPORT_LOCATION, "share_export_location:{}_metadata", since=87
    ),
    # --- snapshots
    Route("GET", "/v2/snapshots", snapshots.index, "share_snapshot:get_all_snapshots"),
    Route("POST", "/v2/snapshots", snapshots.create, "share:create_snapshot", status=202),
    Route("GET", "/v2/snapshots/detail", snapshots.detail, "share_snapshot:get_all_snapshots"),
    Route("GET", _SNAPSHOT, snapshots.show, "share_snapshot:get_snapshot"),
    Route("PUT", _SNAPSHOT, snapshots.update, "share:snapshot_update"),
    Route("DELETE", _SNAPSHOT, snapshots.delete, "share:delete_snapshot", status=202),
    action(f"{_SNAPSHOT}/action", "os-reset_status", snapshots.reset_status, "share_snapshot:reset_status", until=6),
    action(f"{_SNAPSHOT}/action", "reset_status", snapshots.reset_status, "share_snapshot:reset_status", since=7),
    action(f"{_SNAPSHOT}/action", "os-force_delete", snapshots.force_delete, "share_snapshot:force_delete", until=6),
    action(f"{_SNAPSHOT}/action", "force_delete", snapshots.force_delete, "share_snapshot:force_delete", since=7),
    action("/v2/shares/{share_id}/action", "revert", snapshots.revert, "share:revert_to_snapshot", since=27),
    Route("GET", f"{_SNAPSHOT}/export-locations", snapshot_export_locations.index, "share_snapshot_export_location:index", since=32),
    Route(
        "GET", f"{_SNAPSHOT}/export-locations/{{export_location_id}}", snapshot_export_locations.show, "share_snapshot_export_location:show",
        since=32,
    ),
    *_metadata(_SNAPSHOT, metadata.SNAPSHOT, "share_snapshot:{}_metadata", since=73),
    # --- back ends
    Route("GET", "/v2/os-services", services.index, "service:index", until=6),
    Route("GET", "/v2/services", services.index, "service:index", since=7),
    Route("PUT", "/v2/os-services/enable", services.enable, "service:update", until=6),
    Route("PUT", "/v2/services/enable", services.enable, "service:update", since=7),
    Route("PUT", "/v2/os-services/disable", services.disable, "service:update", until=6),
    Route("PUT", "/v2/services/disable", services.disable, "service:update", since=7),
    Route("POST", "/v2/services/ensure-shares", services.ensure_shares, "service:ensure_shares", since=86, status=202),
    Route("GET", "/v2/scheduler-stats/pools", scheduler_stats.pools_index, "scheduler_stats:pools:index"),
    Route("GET", "/v2/scheduler-stats/pools/detail", scheduler_stats.pools_detail, "scheduler_stats:pools:detail"),
    Route("GET", "/v2/os-availability-zone", availability_zones.index, "availability_zone:index", until=6),
    Route("GET", "/v2/availability-zones", availability_zones.index, "availability_zone:index", since=7),
    # --- quotas
    Route("GET", "/v2/limits", quotas.limits, "limits:index"),
    *_quotas("os-quota-sets", "os-quota-class-sets", until=6),
    *_quotas("quota-sets", "quota-class-sets", since=7),
    Route("GET", "/v2/quota-sets/{project_id}/detail", quotas.detail, "quota_set:show", since=25),
    # --- messages and the rest
    Route("GET", "/v2/messages", messages.index, "message:get_all", since=37),
    Route("GET", "/v2/messages/{message_id}", messages.show, "message:get", since=37),
    Route("DELETE", "/v2/messages/{message_id}", messages.delete, "message:delete", since=37, status=204),
    Route("GET", "/v2/extensions", versions.extensions, "extension:index"),
    # --- local networks, in Neutron's format under a base path of their own
    Route("GET", "/network", local_networks.versions, None),
    Route("GET", "/network/v2.0", local_networks.version, None),
    Route("GET", "/network/v2.0/extensions", local_networks.extensions, "extension:index"),
    Route("GET", "/network/v2.0/extensions/{alias}", local_networks.extension, "extension:index"),
    Route("GET", "/network/v2.0/networks", local_networks.list_networks, "local_network:get"),
    Route("POST", "/network/v2.0/networks", local_networks.create_network, "local_network:create", status=201),
    Route("GET", "/network/v2.0/networks/{network_id}", local_networks.show_network, "local_network:get"),
    Route("PUT", "/network/v2.0/networks/{network_id}", local_networks.update_network, "local_network:update"),
    Route("DELETE", "/network/v2.0/networks/{network_id}", local_networks.delete_network, "local_network:delete", status=204),
    Route("GET", "/network/v2.0/subnets", local_networks.list_subnets, "local_subnet:get"),
    Route("POST", "/network/v2.0/subnets", local_networks.create_subnet, "local_subnet:create", status=201),
    Route("GET", "/network/v2.0/subnets/{subnet_id}", local_networks.show_subnet, "local_subnet:get"),
    Route("PUT", "/network/v2.0/subnets/{subnet_id}", local_networks.update_subnet, "local_subnet:update"),
    Route("DELETE", "/network/v2.0/subnets/{subnet_id}", local_networks.delete_subnet, "local_subnet:delete", status=204),
]
