"""Make a share group from a snapshot of another one: a share from each member, all or none. Its
place is held alone meanwhile, as it is when the snapshot is taken."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy.engine import Connection

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.recovery import resumptions
from abaca.domain.share_groups import group_from_snapshot
from abaca.domain.share_groups.group_from_snapshot import NewMember
from abaca.errors import BackendError
from abaca.operations import serving
from abaca.values import ExportLocation, Host
from abaca.workflow.steps import effect, later, tx, workflow


def fail(conn: Connection, group_id: str, share_server_id: str, host: str, reason: str) -> None:
    """The group and its shares are in error."""
    group_from_snapshot.give_up(conn, group_id, reason)


@workflow(on_failure=fail, on_resume=resumptions.share_group_clone)
def share_group_clone(group_id: str, share_server_id: str, host: str) -> None:
    """`share_server_id`: empty for a group without one; `host`: host@backend#pool."""
    members = tx(group_from_snapshot.members_to_make, group_id)
    new, sources = (
        {member.instance_id for member in members},
        {member.source_instance_id for member in members},
    )
    with serving.group_of_shares(share_server_id or None, Host.parse(host).service, new | sources):
        made = _make_all(members, share_server_id, host)
        tx(group_from_snapshot.created, group_id, made)


def _make_all(
    members: list[NewMember], share_server_id: str, host: str
) -> dict[str, list[ExportLocation]]:
    """Where each is exported. If one fails, those before it are deleted."""
    driver = serving.current().driver(host)
    server = later(driver_values.server_of_share, share_server_id)
    made: dict[str, list[ExportLocation]] = {}
    for number, member in enumerate(members, 1):
        share = later(driver_values.share, member.instance_id)
        source = later(snapshot_values.snapshot, member.snapshot_instance_id)
        try:
            made[member.instance_id] = effect(
                driver.create_share_from_snapshot, share, source, server
            )
        except BackendError:
            # What is left when this fails, too, goes with the deletion of the share; the reason to
            # tell is the first one.
            for begun in reversed(members[:number]):
                with suppress(BackendError):
                    effect(
                        driver.delete_share, later(driver_values.share, begun.instance_id), server
                    )
            raise
    return made
