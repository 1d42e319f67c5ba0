"""Replace what a share holds by a backup: the share that it was made of, or another one. Clients
keep their mounts; files that they hold open are stale afterwards."""

from __future__ import annotations

import time
from contextlib import suppress

from sqlalchemy.engine import Connection

from abaca.domain.backups import backup_work
from abaca.domain.driver_views import backup_values, driver_values
from abaca.domain.recovery import resumptions
from abaca.errors import BackendError
from abaca.operations import serving
from abaca.workflow.steps import effect, later, tx, workflow

_GONE = "The share that it was to be restored into is gone."


def fail(conn: Connection, backup_id: str, instance_id: str, reason: str) -> None:
    """The share can be restored again, or deleted; the backup stays."""
    backup_work.not_restored(conn, backup_id, instance_id, reason)


@workflow(on_failure=fail, on_resume=resumptions.share_backup_restore)
def share_backup_restore(backup_id: str, instance_id: str) -> None:
    here = tx(backup_values.backup_state, backup_id, instance_id, time.time())
    if here is None:
        tx(backup_work.not_restored, backup_id, instance_id, _GONE)
        return
    driver, most = serving.current().driver(here.host), serving.current().backup_seconds
    backup, share, server = (
        later(backup_values.backup, backup_id),
        later(driver_values.share, instance_id),
        later(driver_values.server_of_share, here.server_id),
    )
    tx(backup_work.begun, backup_id, "restore_progress")
    try:
        while not (fetched := effect(driver.continue_restore, backup, share)).is_done:
            spent = time.time() - here.began
            tx(backup_work.progressed, backup_id, "restore_progress", fetched.percent, spent, most)
        with serving.server_of_share(instance_id):
            effect(driver.end_restore, backup, share, server)
    except BackendError:
        with suppress(BackendError), serving.server_of_share(instance_id):
            effect(driver.abandon_restore, backup, share, server)
        raise
    tx(backup_work.restored, backup_id, instance_id)
