"""All tables, one module a family of nouns. Rows are really deleted; ids are UUID text; times are
UTC without zone."""

from abaca.db.tables.client_inquiries import client_inquiries
from abaca.db.tables.driver_data import driver_data
from abaca.db.tables.local_networks import (
    local_addresses_set_aside,
    local_machines,
    local_networks,
    local_ports,
    local_rbac_policies,
    local_subnets,
)
from abaca.db.tables.messages import messages
from abaca.db.tables.project_versions import project_versions
from abaca.db.tables.quotas import quota_classes, quota_usages, quotas
from abaca.db.tables.registry import metadata
from abaca.db.tables.resource_locks import resource_locks
from abaca.db.tables.security_services import (
    security_services,
    share_network_security_service_association,
)
from abaca.db.tables.services import (
    availability_zones,
    hosts,
    pools,
    service_workers,
    services,
    worker_leases,
)
from abaca.db.tables.share_backups import share_backups
from abaca.db.tables.share_group_types import (
    share_group_type_projects,
    share_group_type_share_type_mappings,
    share_group_type_specs,
    share_group_types,
)
from abaca.db.tables.share_groups import (
    share_group_share_type_mappings,
    share_group_snapshots,
    share_groups,
)
from abaca.db.tables.share_networks import (
    share_network_checks,
    share_network_subnets,
    share_networks,
)
from abaca.db.tables.share_servers import (
    departed_share_servers,
    network_allocations,
    share_server_backend_details,
    share_server_share_network_subnet_mappings,
    share_servers,
)
from abaca.db.tables.share_snapshots import (
    share_snapshot_access_rules,
    share_snapshot_export_locations,
    share_snapshot_instance_access_map,
    share_snapshot_instances,
    share_snapshots,
)
from abaca.db.tables.share_transfers import share_transfers
from abaca.db.tables.share_types import share_type_extra_specs, share_type_projects, share_types
from abaca.db.tables.share_usages import share_usages
from abaca.db.tables.shares import (
    share_access_rules,
    share_export_locations,
    share_instance_access_map,
    share_instances,
    shares,
)
from abaca.db.tables.snapshot_schedules import backup_schedules, snapshot_schedules

__all__ = [
    "availability_zones",
    "backup_schedules",
    "client_inquiries",
    "departed_share_servers",
    "driver_data",
    "hosts",
    "local_addresses_set_aside",
    "local_machines",
    "local_networks",
    "local_ports",
    "local_rbac_policies",
    "local_subnets",
    "messages",
    "metadata",
    "network_allocations",
    "pools",
    "project_versions",
    "quota_classes",
    "quota_usages",
    "quotas",
    "resource_locks",
    "security_services",
    "service_workers",
    "services",
    "share_access_rules",
    "share_backups",
    "share_export_locations",
    "share_group_share_type_mappings",
    "share_group_snapshots",
    "share_group_type_projects",
    "share_group_type_share_type_mappings",
    "share_group_type_specs",
    "share_group_types",
    "share_groups",
    "share_instance_access_map",
    "share_instances",
    "share_network_checks",
    "share_network_security_service_association",
    "share_network_subnets",
    "share_networks",
    "share_server_backend_details",
    "share_server_share_network_subnet_mappings",
    "share_servers",
    "share_snapshot_access_rules",
    "share_snapshot_export_locations",
    "share_snapshot_instance_access_map",
    "share_snapshot_instances",
    "share_snapshots",
    "share_transfers",
    "share_type_extra_specs",
    "share_type_projects",
    "share_types",
    "share_usages",
    "shares",
    "snapshot_schedules",
    "worker_leases",
]
