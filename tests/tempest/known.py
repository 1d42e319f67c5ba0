"""Tests that are expected to fail, each by its name, with the reason and when it goes;
docs/tempest.md tells them to readers. No other may fail."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tests.tempest.suite import Outcome


class Known(NamedTuple):
    """Why a test fails, and when it no longer will (or why it always will)."""

    reason: str
    goes: str


MASS_ASSIGNMENT = Known(
    "sets created_at, cidr, network_type and segmentation_id of a new share network, which Abaca "
    "lets nobody set",
    "stays: a tenant would forge what the network plug-in finds out",
)
HIDDEN = Known(
    "wants 403 for another project's share; Abaca answers 404, as for one that is not there (so "
    "does Manila 23.0.1)",
    "stays: 403 would tell that it is there",
)
MIGRATION = Known(
    "is about share migration, which Abaca does not have", "goes with share migration"
)
NO_LIMIT = Known(
    "wants 400 for a share type's quota of -1 without force; Abaca takes it as no limit of the "
    "type's own",
    "stays: the project's limit binds",
)
FAILED_SERVER = Known(
    "counts a share server that could not be set up as one in use; Abaca deletes it by itself",
    "stays: what never worked blocks nothing",
)
OTHER_POOL = Known(
    "wants a share made from a snapshot in another pool than the snapshot's; Abaca makes it where "
    "the data is (Manila, too, unless use_scheduler_creating_share_from_snapshot is on)",
    "goes when data is copied between pools",
)
BROKEN = Known(
    "takes an argument that nothing gives it, so that it fails whatever it is run against",
    "goes when manila-tempest-plugin has mended it",
)

_API = "manila_tempest_tests.tests.api"
_RBAC = "manila_tempest_tests.tests.rbac"
_NETWORKS = f"{_API}.test_share_networks.ShareNetworksTest"
_ADMINS_NETWORKS = f"{_API}.admin.test_share_networks.ShareNetworkAdminTest"
_LOCATIONS = f"{_API}.admin.test_export_locations_negative.ExportLocationsNegativeTest"
_ACTIONS = f"{_API}.admin.test_admin_actions_negative.AdminActionsAPIOnlyNegativeTest"
_MAPPING = f"{_API}.test_security_services_mapping_negative.SecServicesMappingNegativeTest"
_POOLS = f"{_API}.test_shares_from_snapshot_across_pools.SharesFromSnapshotAcrossPools"
_CERTIFICATES = f"{_API}.test_rules_negative.ShareCertRulesForGLUSTERFSNegativeTest"
_QUOTAS = f"{_API}.admin.test_quotas_negative.SharesAdminQuotasNegativeTest"

EXPECTED: dict[str, Known] = {
    **{
        f"{_RBAC}.test_export_locations.{role}Tests{protocol}.test_{verb}": HIDDEN
        for role in ("TestProjectMember", "TestProjectReader")
        for protocol in ("NFS", "CIFS")
        for verb in ("list_export_locations", "show_export_location")
    },
    f"{_NETWORKS}.test_get_share_network": MASS_ASSIGNMENT,
    f"{_NETWORKS}.test_list_share_networks_all_filter_opts": MASS_ASSIGNMENT,
    f"{_ADMINS_NETWORKS}.test_get_share_network": MASS_ASSIGNMENT,
    f"{_ADMINS_NETWORKS}.test_list_share_networks_all_filter_opts": MASS_ASSIGNMENT,
    f"{_ADMINS_NETWORKS}.test_list_share_networks_filter_by_network_detail_opts": MASS_ASSIGNMENT,
    f"{_LOCATIONS}.test_get_share_export_location_by_different_project_user": HIDDEN,
    f"{_LOCATIONS}.test_list_share_export_locations_by_different_project_user": HIDDEN,
    f"{_ACTIONS}.test_migration_API_invalid_microversion_1_migrate_share": MIGRATION,
    f"{_ACTIONS}.test_migration_API_invalid_microversion_2_migration_complete": MIGRATION,
    f"{_ACTIONS}.test_migration_API_invalid_microversion_4_migration_get_progress": MIGRATION,
    f"{_ACTIONS}.test_migration_API_invalid_microversion_5_migration_cancel": MIGRATION,
    f"{_MAPPING}.test_delete_ss_from_sn_used_by_share_server": FAILED_SERVER,
    f"{_CERTIFICATES}.test_create_access_rule_cert_with_too_big_common_name": BROKEN,
    f"{_CERTIFICATES}.test_create_access_rule_cert_with_whitespace_common_name": BROKEN,
    f"{_POOLS}.test_create_share_from_snapshot_across_pools_within_backend": OTHER_POOL,
    f"{_QUOTAS}.test_update_share_type_quotas_bigger_than_project_quota_2__1": NO_LIMIT,
}


def reason(name: str) -> str | None:
    """Why a test is expected to fail; None when it is not."""
    known = EXPECTED.get(name)
    return known.reason if known else None


def unexpected(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """What failed though nobody expected it, and what passed though it is expected to fail."""
    return [
        outcome
        for outcome in outcomes
        if outcome.status != "skip"
        and (outcome.status == "success") is (reason(outcome.name) is not None)
    ]
