"""What the members of resources are, and what the OpenAPI document calls the resources."""

from __future__ import annotations

from abaca.api.wire import local_networks as neutron
from abaca.api.wire.access_rules import ACCESS_RULE
from abaca.api.wire.export_locations import EXPORT_LOCATION
from abaca.api.wire.fields import View
from abaca.api.wire.messages import MESSAGE
from abaca.api.wire.resource_locks import RESOURCE_LOCK
from abaca.api.wire.schemas import ANYTHING, FLAG, LINKS, MAP, NUMBER, NUMBER_OR_NULL, TEXT, TEXT_OR_NULL, TEXTS, Schema, object_of
from abaca.api.wire.security_services import IN_DETAIL, SECURITY_SERVICE
from abaca.api.wire.services import AVAILABILITY_ZONE, POOL, SERVICE
from abaca.api.wire.share_networks import SHARE_NETWORK, SUBNET
from abaca.api.wire.share_servers import SHARE_SERVER
from abaca.api.wire.share_types import SHARE_TYPE
from abaca.api.wire.shares import SHARE, SHARE_INSTANCE
from abaca.api.wire.snapshots import SNAPSHOT, SNAPSHOT_EXPORT_LOCATION

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
