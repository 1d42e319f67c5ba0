"""All resources, in the order in which the reference shows them; their routes, and the rules of the
policy with their defaults.

A URL is in its resource without a project id; `/v2/{project_id}/…` is taken everywhere (see
`caller.ProjectInUrl`).
"""

from __future__ import annotations

from collections.abc import Iterable

from abaca.api import metrics
from abaca.api.declaration import Resource, Route, Rule
from abaca.api.resources import (
    access_rules,
    availability_zones,
    clients,
    export_locations,
    extra_specs,
    group_specs,
    identity,
    local_networks,
    local_rbac_policies,
    messages,
    operations,
    project_versions,
    projects,
    quotas,
    resource_locks,
    scheduler_stats,
    security_services,
    services,
    share_backups,
    share_group_snapshots,
    share_group_types,
    share_groups,
    share_instances,
    share_network_security_services,
    share_network_subnets,
    share_networks,
    share_replicas,
    share_servers,
    share_transfers,
    share_types,
    shares,
    snapshot_access,
    snapshot_export_locations,
    snapshot_instances,
    snapshot_management,
    snapshots,
    subnet_drains,
    type_access,
    versions,
)


def rules_of(resources: Iterable[Resource]) -> dict[str, Rule]:
    """The rules of resources by name. Raises ValueError for one that two declare with different
    defaults."""
    rules: dict[str, Rule] = {}
    for resource in resources:
        for rule in [*(route.rule for route in resource.routes if route.rule), *resource.rules]:
            known = rules.setdefault(rule.name, rule)
            if known != rule:
                raise ValueError(f"The rule {rule.name} is declared as {known} and as {rule}.")
    return dict(sorted(rules.items()))


RESOURCES = [
    versions.RESOURCE,
    metrics.RESOURCE,
    share_types.RESOURCE,
    extra_specs.RESOURCE,
    type_access.SHARE_TYPES,
    share_networks.RESOURCE,
    security_services.RESOURCE,
    share_network_security_services.RESOURCE,
    share_network_subnets.RESOURCE,
    subnet_drains.RESOURCE,
    share_servers.RESOURCE,
    shares.RESOURCE,
    share_instances.RESOURCE,
    share_replicas.RESOURCE,
    share_groups.RESOURCE,
    share_group_snapshots.RESOURCE,
    share_group_types.RESOURCE,
    group_specs.RESOURCE,
    type_access.SHARE_GROUP_TYPES,
    access_rules.RESOURCE,
    share_transfers.RESOURCE,
    resource_locks.RESOURCE,
    export_locations.RESOURCE,
    clients.RESOURCE,
    snapshots.RESOURCE,
    snapshot_management.RESOURCE,
    snapshot_access.RESOURCE,
    snapshot_instances.RESOURCE,
    snapshot_export_locations.RESOURCE,
    share_backups.RESOURCE,
    services.RESOURCE,
    operations.RESOURCE,
    scheduler_stats.RESOURCE,
    availability_zones.RESOURCE,
    quotas.RESOURCE,
    messages.RESOURCE,
    project_versions.RESOURCE,
    local_networks.RESOURCE,
    local_rbac_policies.RESOURCE,
    projects.RESOURCE,
    identity.RESOURCE,
]
ROUTES: list[Route] = [route for resource in RESOURCES for route in resource.routes]
RULES = rules_of(RESOURCES)
DEFAULTS = {name: rule.default for name, rule in RULES.items()}
"""What each rule says unless `policy.yaml` says otherwise."""
