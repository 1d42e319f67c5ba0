"""Which modules of manila-tempest-plugin are run, by family. Those of features that Abaca does not offer are left out."""

from __future__ import annotations

PACKAGE = "manila_tempest_tests.tests"
OURS = "abaca_tempest_tests"

# A name stands for a module of `api`, or below the folder it names; `*` at its end for its negative tests too.
NETWORK_FAMILIES: dict[str, tuple[str, ...]] = {
    "several subnets": ("test_share_servers_multiple_subnet*",),
    "share networks": ("test_share_networks*", "admin.test_share_networks*"),
    "share network subnets": ("test_share_network_subnets*", "test_share_network_subnet_metadata*"),
    "security services": ("test_security_services*", "admin.test_security_services"),
    "share servers": ("admin.test_share_servers", "admin.test_share_servers_negative", "admin.test_share_servers_manage"),
}

OTHER_FAMILIES: dict[str, tuple[str, ...]] = {
    "managed share servers and shares": ("admin.test_share_servers_manage*", "admin.test_share_manage*"),
    "resource locks": ("test_resource_locks*",),
    "access rules": ("test_rules*", "test_access_rules_metadata*"),
    "shares": (
        "test_shares*", "test_shares_actions*", "test_public_shares*", "admin.test_shares_actions", "admin.test_admin_actions*",
    ),
    "snapshots": (
        "test_snapshot_metadata*", "test_revert_to_snapshot*", "test_shares_from_snapshot_across_pools",
    ),
    "mounted snapshots": ("test_snapshot_rules*", "admin.test_snapshot_export_locations*"),
    "export locations": ("admin.test_export_locations*",),
    "share types": ("test_share_types_negative", "test_share_type_availability_zones*", "admin.test_share_types*"),
    "quotas": ("test_limits", "test_quotas*", "admin.test_quotas*"),
    "share instances": ("admin.test_share_instances*",),
    "services and pools": ("admin.test_services*", "admin.test_scheduler_stats", "test_scheduler_stats_negative"),
    "messages": ("admin.test_user_messages*",),
    "metadata": ("test_metadata*",),
    "versions, zones, extensions": ("test_availability_zones*", "test_extensions", "test_microversions"),
}


# Those about shares, snapshots and rules make shares without a share network, which Abaca does not offer.
ROLES = (
    "test_share_network", "test_share_types", "test_share_type_extra_specs", "test_quotas", "test_services", "test_scheduler_stats",
    "test_availability_zones",
)


def default() -> list[str]:
    """Regular expressions for the tests that are always run."""
    return [rf"^{OURS}\.", *(pattern(name) for names in NETWORK_FAMILIES.values() for name in names)]


def others() -> list[str]:
    """Those for the other families."""
    return [pattern(name) for names in OTHER_FAMILIES.values() for name in names]


def roles() -> list[str]:
    """Those for what each role may do."""
    return [pattern(f"{PACKAGE}.rbac.{name}") for name in ROLES]


def pattern(name: str) -> str:
    """One entry, as above or a full module name, as a regular expression."""
    full = name if name.startswith((PACKAGE, OURS)) else f"{PACKAGE}.api.{name}"
    dotted = full.rstrip("*").replace(".", r"\.")
    return rf"^{dotted}(_negative)?\." if name.endswith("*") else rf"^{dotted}\."
