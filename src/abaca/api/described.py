"""What each handler takes and gives, by its name: the table that the OpenAPI document adds to the routes and the field tables.

A handler that is not in GIVES has no body in its answer; one that is not in TAKES reads none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from abaca.api.microversions import MAX_VERSION
from abaca.api.wire import local_networks as neutron
from abaca.api.wire import quotas
from abaca.api.wire.access_rules import ACCESS_RULE, AccessAllow, AccessDeny, AccessUpdate
from abaca.api.wire.export_locations import EXPORT_LOCATION
from abaca.api.wire.fields import DETAIL, SHOW, SUMMARY, View
from abaca.api.wire.messages import MESSAGE
from abaca.api.wire.resource_locks import RESOURCE_LOCK, LockCreate, LockUpdate
from abaca.api.wire.security_services import IN_DETAIL, SECURITY_SERVICE, Attach, Exchange, SecurityServiceCreate, SecurityServiceUpdate
from abaca.api.wire.services import AVAILABILITY_ZONE, POOL, SERVICE, ServiceChoice, ServiceEnsure
from abaca.api.wire.share_network_subnets import SubnetCheck, SubnetCreate
from abaca.api.wire.share_networks import SHARE_NETWORK, SUBNET, ResetStatus, ResetTaskState, ShareNetworkCreate, ShareNetworkUpdate
from abaca.api.wire.share_servers import SHARE_SERVER, ServerManage, Unmanage
from abaca.api.wire.share_types import SHARE_TYPE, ProjectAccess, ShareTypeCreate, ShareTypeUpdate
from abaca.api.wire.shares import SHARE, SHARE_INSTANCE, NewSize, ShareCreate, ShareManage, ShareUpdate
from abaca.api.wire.snapshots import SNAPSHOT, SNAPSHOT_EXPORT_LOCATION, Revert, SnapshotCreate, SnapshotUpdate
from abaca.domain.local_networks import local_networks, local_subnets
from abaca.domain.share_servers import share_servers

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "integer"}
NUMBER_OR_NULL: Schema = {"type": ["integer", "null"]}
FLAG: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "array", "items": TEXT}
NO_ITEMS: Schema = {"type": "array", "items": {"type": "object"}, "maxItems": 0}
MAP: Schema = {"type": "object", "additionalProperties": TEXT}
ANYTHING: Schema = {"type": "object"}
LINKS: Schema = {"type": "array", "items": {"type": "object", "required": ["rel", "href"], "properties": {"rel": TEXT, "href": TEXT}}}
# The one member is the fault's name; Neutron's format has `type` and `detail` in place of the code.
FAULT: Schema = {
    "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {
        "type": "object", "required": ["message"], "properties": {"code": NUMBER, "message": TEXT},
    },
}  # fmt: skip


def object_of(**members: Schema) -> Schema:
    """An object with exactly these members."""
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


# Members by name, where they are not text that may be null. All resources mean the same by a name.
KINDS: dict[str, Schema] = {
    "id": TEXT, "project_id": TEXT, "links": LINKS, "metadata": MAP, "extra_specs": MAP, "backend_details": MAP, "capabilities": ANYTHING,
    "required_extra_specs": {"type": "object", "additionalProperties": TEXT_OR_NULL}, "size": NUMBER,
    "share_size": NUMBER, "share_networks": TEXTS, "mtu": NUMBER_OR_NULL,
    "ip_version": NUMBER_OR_NULL, "segmentation_id": NUMBER_OR_NULL, "provider:segmentation_id": NUMBER_OR_NULL, "revision_number": NUMBER,
    "share_network_subnet_ids": TEXTS, "allocation_pools": {"type": "array", "items": object_of(start=TEXT, end=TEXT)},
    **dict.fromkeys(("subnets", "tags", "availability_zone_hints", "availability_zones", "dns_nameservers", "host_routes", "service_types"), TEXTS),
    **dict.fromkeys(
        (
            "is_public", "share_type_access:is_public", "is_default", "snapshot_support", "create_share_from_snapshot_support", "has_replicas",
            "revert_to_snapshot_support", "mount_snapshot_support", "is_soft_deleted", "preferred", "is_admin_only", "cast_rules_to_readonly",
            "is_auto_deletable", "security_service_update_support", "network_allocation_update_support", "shared", "admin_state_up",
            "ensuring", "router:external", "port_security_enabled", "enable_dhcp",
        ),
        FLAG,
    ),
}  # fmt: skip
KINDS_OF: dict[View, dict[str, Schema]] = {SERVICE: {"id": NUMBER}}
# What the OpenAPI document calls a view's resource.
NAMES: dict[View, str] = {
    SHARE_TYPE: "ShareType",
    SHARE_NETWORK: "ShareNetwork",
    SUBNET: "ShareNetworkSubnet",
    SECURITY_SERVICE: "SecurityService",
    IN_DETAIL: "SecurityService",  # in lists
    SHARE_SERVER: "ShareServer",
    SHARE: "Share",
    SHARE_INSTANCE: "ShareInstance",
    SNAPSHOT: "Snapshot",
    SNAPSHOT_EXPORT_LOCATION: "SnapshotExportLocation",
    EXPORT_LOCATION: "ExportLocation",
    ACCESS_RULE: "AccessRule",
    RESOURCE_LOCK: "ResourceLock",
    SERVICE: "Service",
    POOL: "Pool",
    AVAILABILITY_ZONE: "AvailabilityZone",
    MESSAGE: "Message",
    neutron.NETWORK: "LocalNetwork",
    neutron.SUBNET: "LocalSubnet",
}
NESTED: dict[str, View] = {"share_network_subnets": SUBNET}


class Answer(NamedTuple):
    """The answer's one member: a resource or, in a list, several of them, shown by `view` at `level`; or whatever `schema` says.

    `also`: a second name under which the same is given.
    """

    member: str
    view: View | None = None
    level: int = SHOW
    is_list: bool = False
    schema: Schema | None = None
    also: str | None = None


def _one(member: str, view: View) -> Answer:
    return Answer(member, view)


def _many(member: str, view: View, level: int = DETAIL) -> Answer:
    return Answer(member, view, level, is_list=True)


def _plain(member: str, schema: Schema) -> Answer:
    return Answer(member, schema=schema)


def _limits(value: Schema, *more: str) -> Schema:
    names = quotas.resources(MAX_VERSION)
    return {"type": "object", "properties": {**dict.fromkeys(names, value), **dict.fromkeys(more, TEXT)}, "additionalProperties": False}


_QUOTA = _plain("quota_set", _limits(NUMBER, "id"))
_CLASS = _plain("quota_class_set", _limits(NUMBER, "id"))
_META = _plain("meta", MAP)
_METADATA = _plain("metadata", MAP)
_VERSIONS = _plain("versions", {"type": "array", "items": ANYTHING})
_ENABLED: Schema = object_of(host=TEXT, binary=TEXT, disabled=FLAG, disabled_reason=TEXT_OR_NULL)

# The name "" stands for an answer that has no member around what it gives.
GIVES: dict[str, Answer] = {
    "versions.versions": _VERSIONS,
    "versions.extensions": _plain("extensions", {"type": "array", "items": ANYTHING}),
    "share_types.index": Answer("share_types", SHARE_TYPE, SHOW, is_list=True, also="volume_types"),
    "share_types.show": Answer("share_type", SHARE_TYPE, also="volume_type"),
    "share_types.default": Answer("share_type", SHARE_TYPE, also="volume_type"),
    "share_types.create": Answer("share_type", SHARE_TYPE, also="volume_type"),
    "share_types.update": Answer("share_type", SHARE_TYPE, also="volume_type"),
    "share_type_access.index": _plain("share_type_access", {"type": "array", "items": object_of(share_type_id=TEXT, project_id=TEXT)}),
    "extra_specs.index": _plain("extra_specs", MAP),
    "extra_specs.create": _plain("extra_specs", MAP),
    "extra_specs.show": _plain("", MAP),
    "extra_specs.update": _plain("", MAP),
    "share_networks.index": _many("share_networks", SHARE_NETWORK, SUMMARY),
    "share_networks.detail": _many("share_networks", SHARE_NETWORK),
    "share_networks.show": _one("share_network", SHARE_NETWORK),
    "share_networks.create": _one("share_network", SHARE_NETWORK),
    "share_networks.update": _one("share_network", SHARE_NETWORK),
    "security_services.index": _many("security_services", SECURITY_SERVICE, SUMMARY),
    "security_services.detail": _many("security_services", IN_DETAIL),
    "security_services.show": _one("security_service", SECURITY_SERVICE),
    "security_services.create": _one("security_service", SECURITY_SERVICE),
    "security_services.update": _one("security_service", SECURITY_SERVICE),
    "share_network_security_services.add": _one("share_network", SHARE_NETWORK),
    "share_network_security_services.remove": _one("share_network", SHARE_NETWORK),
    "share_network_security_services.update": _one("share_network", SHARE_NETWORK),
    "share_network_security_services.add_check": _plain("", ANYTHING),
    "share_network_security_services.update_check": _plain("", ANYTHING),
    "share_network_subnets.index": _many("share_network_subnets", SUBNET, SHOW),
    "share_network_subnets.show": _one("share_network_subnet", SUBNET),
    "share_network_subnets.create": _one("share_network_subnet", SUBNET),
    "share_network_subnets.create_check": _plain("", ANYTHING),
    "share_servers.index": _many("share_servers", SHARE_SERVER),
    "share_servers.show": _one("share_server", SHARE_SERVER),
    "share_servers.details": _plain("details", MAP),
    "share_servers.manage": _one("share_server", SHARE_SERVER),
    "shares.index": _many("shares", SHARE, SUMMARY),
    "shares.detail": _many("shares", SHARE),
    "shares.show": _one("share", SHARE),
    "shares.create": _one("share", SHARE),
    "shares.update": _one("share", SHARE),
    "shares.manage": _one("share", SHARE),
    "snapshots.index": _many("snapshots", SNAPSHOT, SUMMARY),
    "snapshots.detail": _many("snapshots", SNAPSHOT),
    "snapshots.show": _one("snapshot", SNAPSHOT),
    "snapshots.create": _one("snapshot", SNAPSHOT),
    "snapshots.update": _one("snapshot", SNAPSHOT),
    "snapshot_export_locations.index": _many("share_snapshot_export_locations", SNAPSHOT_EXPORT_LOCATION),
    "snapshot_export_locations.show": _one("share_snapshot_export_location", SNAPSHOT_EXPORT_LOCATION),
    "metadata.index": _METADATA,
    "metadata.merge": _METADATA,
    "metadata.replace": _METADATA,
    "metadata.show": _META,
    "metadata.set_one": _META,
    "share_instances.index": _many("share_instances", SHARE_INSTANCE),
    "share_replicas.index": _plain("share_replicas", NO_ITEMS),
    "share_groups.index": _plain("share_groups", NO_ITEMS),
    "share_groups.list_types": _plain("share_group_types", NO_ITEMS),
    "share_groups.list_snapshots": _plain("share_group_snapshots", NO_ITEMS),
    "share_instances.show": _one("share_instance", SHARE_INSTANCE),
    "access_rules.allow": _one("access", ACCESS_RULE),
    "access_rules.index": _many("access_list", ACCESS_RULE),
    "access_rules.show": _one("access", ACCESS_RULE),
    "access_rules.update": _one("access", ACCESS_RULE),
    "export_locations.index": _many("export_locations", EXPORT_LOCATION),
    "export_locations.show": _one("export_location", EXPORT_LOCATION),
    "export_locations.of_instance": _many("export_locations", EXPORT_LOCATION),
    "export_locations.show_of_instance": _one("export_location", EXPORT_LOCATION),
    "services.index": _many("services", SERVICE),
    "services.enable": _plain("", _ENABLED),
    "services.disable": _plain("", _ENABLED),
    "scheduler_stats.pools_index": _many("pools", POOL, SUMMARY),
    "scheduler_stats.pools_detail": _many("pools", POOL),
    "availability_zones.index": _many("availability_zones", AVAILABILITY_ZONE),
    "quotas.limits": _plain("limits", object_of(rate=NO_ITEMS, absolute={"type": "object", "additionalProperties": NUMBER})),
    "quotas.show": _QUOTA,
    "quotas.defaults": _QUOTA,
    "quotas.update": _QUOTA,
    "quotas.detail": _plain("quota_set", _limits(object_of(limit=NUMBER, in_use=NUMBER, reserved=NUMBER), "id")),
    "quotas.show_class": _CLASS,
    "quotas.update_class": _CLASS,
    "resource_locks.index": _many("resource_locks", RESOURCE_LOCK),
    "resource_locks.show": _one("resource_lock", RESOURCE_LOCK),
    "resource_locks.create": _one("resource_lock", RESOURCE_LOCK),
    "resource_locks.update": _one("resource_lock", RESOURCE_LOCK),
    "messages.index": _many("messages", MESSAGE),
    "messages.show": _one("message", MESSAGE),
    "local_networks.versions": _VERSIONS,
    "local_networks.version": _plain("version", ANYTHING),
    "local_networks.extensions": _plain("extensions", {"type": "array", "items": ANYTHING}),
    "local_networks.extension": _plain("extension", ANYTHING),
    "local_networks.list_networks": _many("networks", neutron.NETWORK),
    "local_networks.show_network": _one("network", neutron.NETWORK),
    "local_networks.create_network": _one("network", neutron.NETWORK),
    "local_networks.update_network": _one("network", neutron.NETWORK),
    "local_networks.list_subnets": _many("subnets", neutron.SUBNET),
    "local_networks.show_subnet": _one("subnet", neutron.SUBNET),
    "local_networks.create_subnet": _one("subnet", neutron.SUBNET),
    "local_networks.update_subnet": _one("subnet", neutron.SUBNET),
}

# Handler → the body's one member and what is in it; an action's arguments stand under the action's name.
TAKES: dict[str, tuple[str, Any]] = {
    "share_types.create": ("share_type", ShareTypeCreate),
    "share_types.update": ("share_type", ShareTypeUpdate),
    "share_type_access.add": ("", ProjectAccess),
    "share_type_access.remove": ("", ProjectAccess),
    "extra_specs.create": ("extra_specs", dict[str, str]),
    "extra_specs.update": ("", dict[str, str]),
    "share_networks.create": ("share_network", ShareNetworkCreate),
    "share_networks.update": ("share_network", ShareNetworkUpdate),
    "share_networks.reset_status": ("", ResetStatus),
    "security_services.create": ("security_service", SecurityServiceCreate),
    "security_services.update": ("security_service", SecurityServiceUpdate),
    "share_network_security_services.add": ("", Attach),
    "share_network_security_services.remove": ("", Attach),
    "share_network_security_services.update": ("", Exchange),
    "share_network_security_services.add_check": ("", Attach),
    "share_network_security_services.update_check": ("", Exchange),
    "share_network_subnets.create": ("share-network-subnet", SubnetCreate),
    "share_network_subnets.create_check": ("", SubnetCheck),
    "share_servers.reset_status": ("", ResetStatus),
    "share_servers.reset_task_state": ("", ResetTaskState),
    "share_servers.manage": ("share_server", ServerManage),
    "share_servers.unmanage": ("", Unmanage),
    "shares.create": ("share", ShareCreate),
    "shares.update": ("share", ShareUpdate),
    "shares.extend": ("", NewSize),
    "shares.shrink": ("", NewSize),
    "shares.force_delete": ("", None),
    "shares.soft_delete": ("", None),
    "shares.restore": ("", None),
    "shares.manage": ("share", ShareManage),
    "shares.unmanage": ("", None),
    "shares.reset_status": ("", ResetStatus),
    "shares.reset_task_state": ("", ResetTaskState),
    "snapshots.create": ("snapshot", SnapshotCreate),
    "snapshots.update": ("snapshot", SnapshotUpdate),
    "snapshots.reset_status": ("", ResetStatus),
    "snapshots.force_delete": ("", None),
    "snapshots.revert": ("", Revert),
    "metadata.merge": ("metadata", dict[str, str]),
    "metadata.replace": ("metadata", dict[str, str]),
    "metadata.set_one": ("meta", dict[str, str]),
    "share_instances.reset_status": ("", ResetStatus),
    "share_instances.force_delete": ("", None),
    "access_rules.allow": ("", AccessAllow),
    "access_rules.deny": ("", AccessDeny),
    "access_rules.update": ("update_access", AccessUpdate),
    "resource_locks.create": ("resource_lock", LockCreate),
    "resource_locks.update": ("resource_lock", LockUpdate),
    "services.enable": ("", ServiceChoice),
    "services.disable": ("", ServiceChoice),
    "services.ensure_shares": ("", ServiceEnsure),
    "quotas.update": ("quota_set", dict[str, int | bool | str]),
    "quotas.update_class": ("quota_class_set", dict[str, int]),
    "local_networks.create_network": ("network", neutron.LocalNetworkCreate),
    "local_networks.update_network": ("network", neutron.LocalNetworkUpdate),
    "local_networks.create_subnet": ("subnet", neutron.LocalSubnetCreate),
    "local_networks.update_subnet": ("subnet", neutron.LocalSubnetUpdate),
}

_PAGE = ("limit", "offset", "sort_key", "sort_dir")
_TIMES = ("created_since", "created_before")
_LOCATION = ("export_location_id", "export_location_path")
_NAMES = ("name", "name~", "display_name", "display_name~", "description~", "display_description~")
# The parameters of queries, all of them text: what handlers read (tests/api/test_openapi.py).
QUERIES: dict[str, tuple[str, ...]] = {
    "share_types.index": (*_PAGE, "is_public", "extra_specs"),
    **dict.fromkeys(
        ("share_networks.index", "share_networks.detail"),
        (*_PAGE, "all_tenants", "name", "name~", "description~", "status", "neutron_net_id", "neutron_subnet_id", "ip_version", "cidr",
         "network_type", "availability_zone", *_TIMES, "segmentation_id", "project_id", "share_server_id", "security_service_id"),
    ),
    "share_servers.index": (*_PAGE, *share_servers.FILTERS),
    **dict.fromkeys(
        ("shares.index", "shares.detail"),
        (*_PAGE, "all_tenants", "with_count", *_NAMES, "description", "display_description", "status", "share_type_id", "snapshot_id",
         "share_network_id", "project_id", "share_group_id", *_LOCATION, "host", "share_server_id", "is_public", "is_soft_deleted",
         "metadata", "extra_specs"),
    ),
    **dict.fromkeys(
        ("snapshots.index", "snapshots.detail"),
        (*_PAGE, "all_tenants", "with_count", *_NAMES, "description", "display_description", "status", "share_id", "size", "metadata"),
    ),
    **dict.fromkeys(
        ("security_services.index", "security_services.detail"),
        (*_PAGE, "all_tenants", "project_id", "id", "name", "type", "user", "server", "dns_ip", "domain", "share_network_id"),
    ),
    "share_instances.index": (
        *_PAGE, "share_id", "host", "status", "share_network_id", "share_server_id", "share_type_id", "project_id", *_LOCATION,
    ),
    "access_rules.index": (*_PAGE, "share_id", "access_type", "access_to", "access_level", "access_key", "metadata"),
    "resource_locks.index": (
        *_PAGE, "all_projects", "with_count", "id", "project_id", "user_id", "lock_context", "resource_type", "resource_id", "resource_action",
        "lock_reason", "lock_reason~", *_TIMES,
    ),
    "services.index": ("host", "binary", "zone", "state", "status"),
    "scheduler_stats.pools_index": ("host", "backend", "pool", "share_type"),
    "scheduler_stats.pools_detail": ("host", "backend", "pool", "share_type"),
    "messages.index": (
        *_PAGE, "request_id", "resource_type", "resource_id", "action_id", "detail_id", "message_level", *_TIMES,
    ),
    **dict.fromkeys(("quotas.show", "quotas.detail", "quotas.update", "quotas.delete"), ("user_id", "share_type")),
    "local_networks.list_networks": (*neutron.PARAMETERS, *local_networks.FILTERS),
    "local_networks.list_subnets": (*neutron.PARAMETERS, *local_subnets.FILTERS),
}  # fmt: skip
