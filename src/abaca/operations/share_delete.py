"""Delete a share with its data. Its share server stays for the next one, until it has been unused
for a while."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from abaca.domain.driver_views import driver_values
from abaca.domain.recovery import resumptions
from abaca.domain.shares import share_instances, shares
from abaca.operations import driver_calls, serving
from abaca.workflow.steps import effect, later, tx, workflow


def fail(conn: Connection, instance_id: str, reason: str) -> None:
    """The share may be deleted again."""
    share_instances.fail_deletion(conn, instance_id, reason)


def _to_delete(conn: Connection, instance_id: str) -> driver_values.ShareState | None:
    """Refused while there are snapshots of it: a deferred deletion does not wait for theirs."""
    shares.require_snapshots_gone(conn, instance_id)
    return driver_values.share_state(conn, instance_id)


@workflow(on_failure=fail, on_resume=resumptions.share_delete)
def share_delete(instance_id: str) -> None:
    with serving.server_of_share(instance_id):
        here = tx(_to_delete, instance_id)
        if here is None:
            return
        share, server = (
            later(driver_values.share, instance_id),
            later(driver_values.server_of_share, here.server_id),
        )
        effect(driver_calls.delete_share, here.host, share, server)
        tx(share_instances.remove, instance_id)
