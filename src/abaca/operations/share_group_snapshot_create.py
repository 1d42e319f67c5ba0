"""Take a snapshot of each share of a group, all or none. The share server is held alone meanwhile:
no share of the group is reverted or resized between the first and the last."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy.engine import Connection

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.recovery import resumptions
from abaca.domain.rows import messages
from abaca.domain.share_groups import share_group_snapshots
from abaca.errors import BackendError
from abaca.operations import serving
from abaca.values import Host, SnapshotUpdate
from abaca.workflow.steps import effect, later, tx, workflow


def fail(
    conn: Connection, group_snapshot_id: str, share_server_id: str, host: str, reason: str
) -> None:
    """The group snapshot and its members are in error; the shares are what they were."""
    share_group_snapshots.fail(conn, group_snapshot_id, "error", messages.Action.CREATE, reason)


@workflow(on_failure=fail, on_resume=resumptions.share_group_snapshot_create)
def share_group_snapshot_create(group_snapshot_id: str, share_server_id: str, host: str) -> None:
    """`share_server_id`: empty for a group without one; `host`: host@backend#pool."""
    members = tx(share_group_snapshots.members_at_work, group_snapshot_id)
    with serving.group_of_shares(
        share_server_id or None,
        Host.parse(host).service,
        [member.share_instance_id for member in members],
    ):
        ids = [member.instance_id for member in members]
        taken = _take_all(group_snapshot_id, ids, share_server_id, host) if ids else {}
        tx(share_group_snapshots.created, group_snapshot_id, taken)


def _take_all(
    group_snapshot_id: str, instance_ids: list[str], share_server_id: str, host: str
) -> dict[str, SnapshotUpdate]:
    """What the driver reports of each: of one instant, if it can, or one after the other. If one
    fails, all are deleted."""
    driver = serving.current().driver(host)
    server = later(driver_values.server_of_share, share_server_id)
    taken: dict[str, SnapshotUpdate] = {}
    try:
        if driver.capabilities.consistent_snapshot_support:
            members = later(snapshot_values.of_group_snapshot, group_snapshot_id)
            return effect(driver.create_group_snapshot, members, server)
        for instance_id in instance_ids:
            snapshot = later(snapshot_values.snapshot, instance_id)
            taken[instance_id] = effect(driver.create_snapshot, snapshot, server)
    except BackendError:
        # What is left when this fails, too, goes with the deletion of the group snapshot; the
        # reason to tell is the first one.
        for instance_id in reversed(instance_ids):
            with suppress(BackendError):
                left = later(snapshot_values.snapshot, instance_id)
                effect(driver.delete_snapshot, left, server)
        raise
    return taken
