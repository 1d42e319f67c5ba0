"""Which modules of manila-tempest-plugin are run, by family. The others are in NOT_RUN, each with
its reason."""

from __future__ import annotations

PACKAGE = "manila_tempest_tests.tests"
OURS = "abaca_tempest_tests"

# A name stands for a module of `api`, or below the folder it names; `*` at its end for its negative
# tests too.
NETWORK_FAMILIES: dict[str, tuple[str, ...]] = {
    "several subnets": ("test_share_servers_multiple_subnet*",),
    "share networks": ("test_share_networks*", "admin.test_share_networks*"),
    "share network subnets": ("test_share_network_subnets*", "test_share_network_subnet_metadata*"),
    "security services": (
        "test_security_services*",
        "test_security_services_mapping*",
        "admin.test_security_services",
    ),
    "share servers": (
        "admin.test_share_servers",
        "admin.test_share_servers_negative",
        "admin.test_share_servers_manage",
    ),
}

OTHER_FAMILIES: dict[str, tuple[str, ...]] = {
    "managed share servers and shares": (
        "admin.test_share_servers_manage*",
        "admin.test_share_manage*",
    ),
    "resource locks": ("test_resource_locks*",),
    "access rules": ("test_rules*", "test_access_rules_metadata*"),
    "shares": (
        "test_shares*",
        "test_shares_actions*",
        "test_public_shares*",
        "admin.test_shares_actions",
        "admin.test_admin_actions*",
    ),
    "snapshots": (
        "test_snapshot_metadata*",
        "test_revert_to_snapshot*",
        "test_shares_from_snapshot_across_pools",
        "admin.test_share_snapshot_instances*",
        "admin.test_snapshot_manage*",
    ),
    "backups": ("test_backup*",),
    "mounted snapshots": ("test_snapshot_rules*", "admin.test_snapshot_export_locations*"),
    "export locations": ("admin.test_export_locations*",),
    "share types": (
        "test_share_types_negative",
        "test_share_type_availability_zones*",
        "admin.test_share_types*",
        "admin.test_share_types_extra_specs*",
    ),
    "quotas": ("test_limits", "test_quotas*", "admin.test_quotas*"),
    "share instances": ("admin.test_share_instances*",),
    "services and pools": (
        "admin.test_services*",
        "admin.test_scheduler_stats",
        "test_scheduler_stats_negative",
        "admin.test_multi_backend",
    ),
    "messages": ("admin.test_user_messages*",),
    "share groups": (
        "test_share_group_actions",
        "test_share_groups",
        "admin.test_share_group_types*",
        "admin.test_share_groups*",
    ),
    "scheduler hints": ("test_scheduler_hints*", "admin.test_scheduler_hints"),
    "metadata": ("test_metadata*",),
    "versions, zones, extensions": (
        "test_availability_zones*",
        "test_extensions",
        "test_microversions",
    ),
}


OURS_ALWAYS = tuple(
    f"{OURS}.tests.{name}"
    for name in ("test_additions", "test_capabilities", "test_export_choices", "test_removals")
)
OURS_OF_ROLES = f"{OURS}.tests.test_messages_by_role"
ROLES = (
    "test_share_network", "test_share_types", "test_share_type_extra_specs", "test_quotas",
     "test_services", "test_scheduler_stats",
    "test_availability_zones", "test_share_group_types",
)  # fmt: skip

WITHOUT_SHARE_SERVERS = ("test_share_transfers*",)
"""Modules of `api` that run without multitenancy only: their shares are on no share network."""

_GROUP_FROM_SNAPSHOT = "makes share groups from snapshots of groups, which Abaca does not do yet"
_WITHOUT_NETWORK = "makes shares without a share network, which Abaca does not offer"
# Modules and classes that are not run, with the reason; written as above, or in full.
NOT_RUN: dict[str, str] = {
    **dict.fromkeys(
        ("test_replication*", "test_replication_export_locations*", "test_replication_snapshots",
         "admin.test_replication",
         "admin.test_replication_actions"),
        "replicas, which Abaca does not have",
    ),
    **dict.fromkeys(("test_qos_types*", "admin.test_qos_types", "admin.test_qos_types_specs*"),
     "QoS types, which Abaca does not have"),
    "test_share_encryption*": "encryption, which Abaca does not have",
    **dict.fromkeys(
        ("test_share_group_actions.ShareGroupActionsTest", "test_share_groups_negative"),
        _GROUP_FROM_SNAPSHOT,
    ),
    **dict.fromkeys(("admin.test_migration*", "admin.test_share_servers_migration*"),
     "migration, which Abaca does not have"),
    **dict.fromkeys(
        (f"{PACKAGE}.rbac.{name}" for name in (
            "test_export_locations", "test_rules", "test_share_instance_export_locations",
             "test_share_groups", "test_share_manage", "test_shares", "test_snapshots",
        )),
        _WITHOUT_NETWORK,
    ),
    f"{PACKAGE}.rbac.test_user_messages": "makes shares of a type without share servers: run in "
                                          "our plug-in with share networks",
    **dict.fromkeys(
        (f"{PACKAGE}.scenario.{name}" for name in (
            "test_share_attachment", "test_share_basic_ops", "test_share_extend",
             "test_share_manage_unmanage", "test_share_shrink",
        )),
        "mounts shares in virtual machines",
    ),
}  # fmt: skip


def default() -> list[str]:
    """Regular expressions for the tests that are always run."""
    return [pattern(name) for names in (OURS_ALWAYS, *NETWORK_FAMILIES.values()) for name in names]


def others() -> list[str]:
    """Those for the other families."""
    return [pattern(name) for names in OTHER_FAMILIES.values() for name in names]


def roles() -> list[str]:
    """Those for what each role may do, and what else tempest begins without multitenancy only."""
    of_roles = (f"{PACKAGE}.rbac.{name}" for name in ROLES)
    return [pattern(name) for name in (OURS_OF_ROLES, *of_roles, *WITHOUT_SHARE_SERVERS)]


def is_of_roles(name: str) -> bool:
    """Whether tempest can only begin that module without multitenancy: those about roles, and some
    others."""
    short = name.removeprefix(f"{PACKAGE}.api.")
    return name.startswith((f"{PACKAGE}.rbac.", OURS_OF_ROLES)) or any(
        short.startswith(module.rstrip("*")) for module in WITHOUT_SHARE_SERVERS
    )


def excluded() -> list[str]:
    """Those for what is never run."""
    return [pattern(name) for name in NOT_RUN]


def pattern(name: str) -> str:
    """One entry, as above or a full module name, as a regular expression."""
    full = name if name.startswith((PACKAGE, OURS)) else f"{PACKAGE}.api.{name}"
    dotted = full.rstrip("*").replace(".", r"\.")
    return rf"^{dotted}(_negative)?\." if name.endswith("*") else rf"^{dotted}\."
