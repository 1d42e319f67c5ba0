"""Delete a share with its data. Its share server stays for the next one, until it has been unused
for a while."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from abaca.domain.driver_views import driver_values
from abaca.domain.recovery import resumptions
from abaca.domain.rows import messages
from abaca.domain.shares import share_instances
from abaca.operations import driver_calls, serving
from abaca.workflow.steps import effect, later, tx, workflow


def fail(conn: Connection, instance_id: str, reason: str) -> None:
    """The share may be deleted again."""
    share_instances.fail(conn, instance_id, "error_deleting", messages.Action.DELETE, reason)


@workflow(on_failure=fail, on_resume=resumptions.share_delete)
def share_delete(instance_id: str) -> None:
    with serving.server_of_share(instance_id):
        here = tx(driver_values.share_state, instance_id)
        if here is None:
            return
        share, server = (
            later(driver_values.share, instance_id),
            later(driver_values.server_of_share, here.server_id),
        )
        effect(driver_calls.delete_share, here.host, share, server)
        tx(share_instances.remove, instance_id)
