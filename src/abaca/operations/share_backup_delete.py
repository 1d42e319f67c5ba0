"""Delete a backup, whole or not. Its share and other backups of it stay as they are."""

from __future__ import annotations

import time

from sqlalchemy.engine import Connection

from abaca.domain.backups import backup_work
from abaca.domain.driver_views import backup_values, driver_values
from abaca.domain.recovery import resumptions
from abaca.operations import serving
from abaca.workflow.steps import effect, later, tx, workflow


def fail(conn: Connection, backup_id: str, instance_id: str, reason: str) -> None:
    """The backup may be deleted again."""
    backup_work.not_deleted(conn, backup_id, reason)


@workflow(on_failure=fail, on_resume=resumptions.share_backup_delete)
def share_backup_delete(backup_id: str, instance_id: str) -> None:
    here = tx(backup_values.backup_state, backup_id, instance_id, time.time())
    if here is None:
        return
    driver, backup = serving.current().driver(here.host), later(backup_values.backup, backup_id)
    share, server = (
        later(driver_values.share, instance_id),
        later(driver_values.server_of_share, here.server_id),
    )
    # A copy that failed may have been left in the middle.
    with serving.server_of_share(instance_id):
        effect(driver.end_backup, backup, share, server)
    effect(driver.delete_backup, backup)
    tx(backup_work.remove, backup_id)
