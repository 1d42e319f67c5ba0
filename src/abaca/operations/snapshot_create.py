"""Take a snapshot of a share while it is in use."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy.engine import Connection

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.recovery import resumptions
from abaca.domain.rows import messages
from abaca.domain.snapshots import share_snapshot_instances
from abaca.errors import BackendError
from abaca.operations import serving
from abaca.workflow.steps import effect, later, tx, workflow


def fail(conn: Connection, share_instance_id: str, instance_id: str, reason: str) -> None:
    """The snapshot is in error; the share is what it was."""
    share_snapshot_instances.fail(conn, instance_id, "error", messages.Action.CREATE, reason)


@workflow(on_failure=fail, on_resume=resumptions.snapshot_create)
def snapshot_create(share_instance_id: str, instance_id: str) -> None:
    with serving.server_of_share(share_instance_id):
        here = tx(snapshot_values.snapshot_state, instance_id)
        if here is None:
            return
        driver = serving.current().driver(here.host)
        snapshot, server = (
            later(snapshot_values.snapshot, instance_id),
            later(driver_values.server_of_share, here.server_id),
        )
        try:
            taken = effect(driver.create_snapshot, snapshot, server)
        except BackendError:
            # What is left when this fails, too, goes with the deletion of the snapshot; the reason
            # to tell is the first one.
            with suppress(BackendError):
                effect(driver.delete_snapshot, snapshot, server)
            raise
        tx(share_snapshot_instances.created, instance_id, taken)
