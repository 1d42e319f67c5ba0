"""Copy what a share holds to where its back end keeps backups. The share is in use meanwhile."""

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


def fail(conn: Connection, backup_id: str, instance_id: str, reason: str) -> None:
    """The backup is in error; the share is what it was."""
    backup_work.not_created(conn, backup_id, instance_id, reason)


@workflow(on_failure=fail, on_resume=resumptions.share_backup_create)
def share_backup_create(backup_id: str, instance_id: str) -> None:
    here = tx(backup_values.backup_state, backup_id, instance_id, time.time())
    if here is None:
        return
    driver, most = serving.current().driver(here.host), serving.current().backup_seconds
    backup, share, server = (
        later(backup_values.backup, backup_id),
        later(driver_values.share, instance_id),
        later(driver_values.server_of_share, here.server_id),
    )
    tx(backup_work.begun, backup_id, "progress")
    try:
        # The server is held for two moments only: copying may take hours.
        with serving.server_of_share(instance_id):
            effect(driver.begin_backup, backup, share, server)
        while not (copied := effect(driver.continue_backup, backup)).is_done:
            spent = time.time() - here.began
            tx(backup_work.progressed, backup_id, "progress", copied.percent, spent, most)
    except BackendError:
        with suppress(BackendError), serving.server_of_share(instance_id):
            effect(driver.end_backup, backup, share, server)
        raise
    with serving.server_of_share(instance_id):
        effect(driver.end_backup, backup, share, server)
    tx(backup_work.created, backup_id, instance_id)
