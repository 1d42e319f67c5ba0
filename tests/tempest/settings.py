"""The configuration files of a run: Abaca's back ends, and tempest.conf, which says what Abaca
offers."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from abaca.api import microversions

COMMON = """
[DEFAULT]
enabled_share_backends = {back_ends}
default_share_type = default
default_share_group_type = default
unused_share_server_cleanup_interval = 600

[api]
auth_strategy = keystone

[quota]
shares = 500
gigabytes = 10000
share_networks = 500
snapshots = 500

[worker]
report_interval = 1
"""


class Cloud(NamedTuple):
    """A cloud that tempest is let loose on: its name, whether its shares are on share servers, and
    the sections of its back ends, the first two of which are in two zones. Shares go to the first
    one, which has the most room, unless their type asks for another one's capabilities. A backup
    takes a while, as a test asks for another one meanwhile."""

    name: str
    has_share_servers: bool
    back_ends: dict[str, str]


NETWORKS = Cloud(
    "networks",
    True,
    {
        "full": """
pools = full:100000, second:50000
storage_protocols = NFS, CIFS, GLUSTERFS
fault_plan = {fault_plan}
delay_begin_backup_ms = 3000
""",
        "zone2": """
availability_zone = zone2
pools = zone2:40000
storage_protocols = NFS, CIFS, GLUSTERFS
""",
        "fixed": """
pools = fixed:1000
network_allocation_update_support = false
security_service_update_support = false
""",
        "single": """
pools = single:1000
share_server_multiple_subnet_support = false
network_allocation_update_support = false
security_service_update_support = false
""",
    },
)
PLAIN = Cloud(
    "plain",
    False,
    {
        "plain": """
driver_handles_share_servers = false
pools = plain:100000, second:50000
storage_protocols = NFS, CIFS, GLUSTERFS
delay_begin_backup_ms = 3000
""",
        "plain2": """
driver_handles_share_servers = false
availability_zone = zone2
pools = plain2:40000
storage_protocols = NFS, CIFS, GLUSTERFS
""",
    },
)
CLOUDS = {cloud.name: cloud for cloud in (NETWORKS, PLAIN)}

TEMPEST = """
[DEFAULT]
log_dir = {folder}
log_file = tempest.log

[oslo_concurrency]
lock_path = {folder}/lock

[auth]
use_dynamic_credentials = true
create_isolated_networks = false
tempest_roles = {role}
admin_username = admin
admin_password = {admin_password}
admin_project_name = admin
admin_domain_name = Default

[identity]
auth_version = v3
uri_v3 = {identity_url}
region = RegionOne
v3_endpoint_type = public

[network]
endpoint_type = public

[service_available]
cinder = false
glance = false
horizon = false
neutron = false
nova = false
swift = false
manila = true

[enforce_scope]
manila = true

[share]
catalog_type = shared-file-system
default_share_type_name = default
max_api_microversion = {max_version}
multitenancy_enabled = {multitenancy}
create_networks_when_multitenancy_enabled = false
build_interval = 1
build_timeout = 60
capability_storage_protocol = NFS_CIFS_GLUSTERFS
enable_protocols = nfs, cifs, glusterfs
enable_ip_rules_for_protocols = nfs, cifs
enable_user_rules_for_protocols = cifs
enable_cert_rules_for_protocols = glusterfs
enable_cephx_rules_for_protocols =
enable_ro_access_level_for_protocols = nfs, cifs, glusterfs
multi_backend = true
backend_names = {back_end_names}
run_share_server_multiple_subnet_tests = true
run_network_allocation_update_tests = true
run_revert_to_snapshot_tests = true
run_create_share_from_snapshot_in_another_pool_or_az_tests = true
run_share_group_tests = true
run_replication_tests = false
run_multiple_share_replicas_tests = false
run_manage_unmanage_tests = true
run_manage_unmanage_snapshot_tests = true
run_mount_snapshot_tests = true
capability_snapshot_inherit_share_access = optional
run_share_server_migration_tests = false
run_encryption_tests = false
run_driver_assisted_backup_tests = true
run_ipv6_tests = true

[abaca]
fault_plan = {fault_plan}
"""


def abaca(cloud: Cloud, fault_plan: Path) -> str:
    """Abaca's configuration file, but for where Keystone is."""
    sections = "".join(
        f"[{name}]\nshare_driver = fake{options.format(fault_plan=fault_plan)}"
        for name, options in cloud.back_ends.items()
    )
    return COMMON.format(back_ends=", ".join(cloud.back_ends)) + sections


def tempest(
    cloud: Cloud,
    folder: Path,
    identity_url: str,
    admin_password: str,
    fault_plan: Path,
    *,
    role: str,
) -> str:
    """tempest.conf for a run that keeps its own things below `folder`. `role`: what each user has
    beside the roles that a test asks for."""
    return TEMPEST.format(
        folder=folder,
        identity_url=identity_url,
        admin_password=admin_password,
        fault_plan=fault_plan,
        multitenancy=cloud.has_share_servers,
        back_end_names=", ".join(list(cloud.back_ends)[:2]),
        role=role,
        max_version=microversions.text(microversions.MAX_VERSION),
    )
