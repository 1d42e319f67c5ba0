"""Every workflow, imported so that the worker knows it, what sets their resources to error when
they cannot do so themselves, and how their log lines name them."""

from abaca.domain.recovery import last_resort, work_subjects
from abaca.operations.access_apply import access_apply
from abaca.operations.service_ensure_shares import service_ensure_shares
from abaca.operations.share_backup_create import share_backup_create
from abaca.operations.share_backup_delete import share_backup_delete
from abaca.operations.share_backup_restore import share_backup_restore
from abaca.operations.share_create import share_create
from abaca.operations.share_delete import share_delete
from abaca.operations.share_group_clone import share_group_clone
from abaca.operations.share_group_create import share_group_create
from abaca.operations.share_group_snapshot_create import share_group_snapshot_create
from abaca.operations.share_group_snapshot_delete import share_group_snapshot_delete
from abaca.operations.share_manage import share_manage
from abaca.operations.share_network_security_service_check import (
    share_network_security_service_check,
)
from abaca.operations.share_network_subnet_check import share_network_subnet_check
from abaca.operations.share_network_subnet_removal_check import share_network_subnet_removal_check
from abaca.operations.share_network_subnet_resolve import share_network_subnet_resolve
from abaca.operations.share_resize import share_extend, share_shrink
from abaca.operations.share_revert import share_revert
from abaca.operations.share_server_abandon_subnet import share_server_abandon_subnet
from abaca.operations.share_server_add_subnet import share_server_add_subnet
from abaca.operations.share_server_arrive import share_server_arrive
from abaca.operations.share_server_clients import share_server_clients
from abaca.operations.share_server_delete import share_server_delete
from abaca.operations.share_server_depart import share_server_depart
from abaca.operations.share_server_manage import share_server_manage
from abaca.operations.share_server_remove_subnet import share_server_remove_subnet
from abaca.operations.share_server_unmanage import share_server_unmanage
from abaca.operations.share_server_update_drains import share_server_update_drains
from abaca.operations.share_server_update_security_service import (
    share_server_update_security_service,
)
from abaca.operations.share_server_update_subnet_metadata import share_server_update_subnet_metadata
from abaca.operations.share_unmanage import share_unmanage
from abaca.operations.snapshot_access_apply import snapshot_access_apply
from abaca.operations.snapshot_create import snapshot_create
from abaca.operations.snapshot_delete import snapshot_delete
from abaca.operations.snapshot_manage import snapshot_manage
from abaca.operations.snapshot_unmanage import snapshot_unmanage
from abaca.workflow import steps

WORKFLOWS = (
    access_apply,
    service_ensure_shares,
    share_backup_create,
    share_backup_delete,
    share_backup_restore,
    share_create,
    share_delete,
    share_extend,
    share_group_clone,
    share_group_create,
    share_group_snapshot_create,
    share_group_snapshot_delete,
    share_network_security_service_check,
    share_network_subnet_check,
    share_network_subnet_removal_check,
    share_network_subnet_resolve,
    share_revert,
    share_server_abandon_subnet,
    share_server_add_subnet,
    share_server_arrive,
    share_server_clients,
    share_server_delete,
    share_server_depart,
    share_server_manage,
    share_server_remove_subnet,
    share_server_unmanage,
    share_server_update_drains,
    share_server_update_security_service,
    share_server_update_subnet_metadata,
    share_manage,
    share_shrink,
    share_unmanage,
    snapshot_access_apply,
    snapshot_create,
    snapshot_delete,
    snapshot_manage,
    snapshot_unmanage,
)

steps.last_resort(last_resort.end)
steps.describe_by(work_subjects.of)
