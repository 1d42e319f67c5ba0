"""A real Neutron behind a real Keystone, without agents: it keeps networks, subnets and ports, and
makes no wires.

Its SQLite database is made once a session and copied; one on MariaDB is made where it is, and
several threads serve it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.openstack.keystone import Keystone, section
from tests.openstack.process import ENVIRONMENT, Service, program, run, script

_CONFIGURATION = """
[DEFAULT]
core_plugin = ml2
service_plugins = router
auth_strategy = keystone
transport_url = fake://
rpc_workers = 0
rpc_state_report_workers = 0
api_workers = 0
state_path = {folder}/state
api_paste_config = {environment}/etc/neutron/api-paste.ini
dhcp_agent_notification = false
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
use_stderr = true
[database]
connection = {database}
[oslo_concurrency]
lock_path = {folder}/locks
[oslo_messaging_notifications]
driver = noop
[quotas]
quota_driver = neutron.db.quota.driver_nolock.DbQuotaNoLockDriver
default_quota = -1
quota_network = -1
quota_subnet = -1
quota_port = -1
[ml2]
type_drivers = local,flat,vlan,vxlan
tenant_network_types = vlan,vxlan
mechanism_drivers =
extension_drivers = port_security
[ml2_type_flat]
flat_networks = physnet1,physnet2
[ml2_type_vlan]
network_vlan_ranges = physnet1:100:199
[ml2_type_vxlan]
vni_ranges = 1000:1999
{keystone_authtoken}
"""


class Neutron(Service):
    """Neutron in `folder`, with a copy of the database `template`, known to Keystone's catalogue as
    `network`."""

    def __init__(self, template: Path, folder: Path, keystone: Keystone) -> None:
        folder.mkdir()
        shutil.copy(template, folder / "neutron.db")
        super().__init__(
            "neutron.wsgi.api",
            folder,
            OS_NEUTRON_CONFIG_DIR=str(folder),
            OS_NEUTRON_CONFIG_FILES="neutron.conf",
        )
        _configure(folder, _sqlite(folder), keystone.service_user(f"neutron-{self.port}"))
        keystone.register("network", self.url)


class NeutronOnMariadb(Service):
    """Neutron in `folder` on an empty database of MariaDB's; not in the catalogue."""

    def __init__(self, url: str, folder: Path, keystone: Keystone, threads: int) -> None:
        folder.mkdir()
        super().__init__(
            "neutron.wsgi.api",
            folder,
            threads,
            OS_NEUTRON_CONFIG_DIR=str(folder),
            OS_NEUTRON_CONFIG_FILES="neutron.conf",
        )
        _configure(folder, url, keystone.service_user(f"neutron-{self.port}"))
        run(
            folder,
            program("neutron-db-manage"),
            "--config-file",
            str(folder / "neutron.conf"),
            "upgrade",
            "heads",
        )


def make_template(folder: Path) -> Path:
    """A database with Neutron's tables. Takes ten seconds."""
    folder.mkdir()
    _configure(folder, _sqlite(folder), {})
    run(folder, *script("neutron_tables.py"), _sqlite(folder))
    run(
        folder,
        program("neutron-db-manage"),
        "--config-file",
        str(folder / "neutron.conf"),
        "stamp",
        "heads",
    )
    return folder / "neutron.db"


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/neutron.db"


def _configure(folder: Path, database: str, authtoken: dict[str, str]) -> None:
    text = _CONFIGURATION.format(
        folder=folder,
        environment=ENVIRONMENT,
        database=database,
        keystone_authtoken=section(authtoken),
    )
    (folder / "neutron.conf").write_text(text)
