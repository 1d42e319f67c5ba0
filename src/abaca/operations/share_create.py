"""Make a share, empty or from a snapshot: its share server first, where that is not set up yet,
then the share on it.

When its pool turns out to have no room for an empty one, nothing of it is left there and the same
begins on another pool, as work of its own.
"""

from __future__ import annotations

from sqlalchemy.engine import Connection

from abaca.domain.driver_views import driver_values, snapshot_values
from abaca.domain.driver_views.driver_values import ShareState
from abaca.domain.recovery import resumptions
from abaca.domain.rows import messages, states
from abaca.domain.rows.states import Permit
from abaca.domain.shares import next_pool, share_instances
from abaca.errors import BackendError, NoSpace
from abaca.operations import serving
from abaca.operations.share_server_setup import fail_if_creating, make_sure_of_server
from abaca.values import ExportLocation
from abaca.workflow.steps import effect, later, tx, workflow


def fail(conn: Connection, instance_id: str, *tried_and_reason: str) -> None:
    """The share is in error, and so is a server that was only half set up for it."""
    reason = tried_and_reason[-1]
    server_id = share_instances.place_of(conn, instance_id).server_id
    if server_id is not None:
        fail_if_creating(conn, server_id, reason)
    share_instances.fail(conn, instance_id, "error", messages.Action.CREATE, reason)


@workflow(on_failure=fail, on_resume=resumptions.share_create)
def share_create(instance_id: str, *tried: str) -> None:
    """`tried`: pools (host@backend#pool) that had no room for it."""
    with serving.server_of_share(instance_id):
        here = tx(driver_values.share_state, instance_id)
        if here is None:
            return
        if not here.server_id or states.SHARE_SERVER.permits(here.server_status, Permit.SERVE):
            _create(instance_id, here, tried)
            return
    make_sure_of_server(here.server_id, here.host)
    with serving.server_of_share(instance_id):
        here = tx(driver_values.share_state, instance_id)
        if here is not None:
            _create(instance_id, here, tried)


def _create(instance_id: str, here: ShareState, tried: tuple[str, ...]) -> None:
    driver = serving.current().driver(here.host)
    share, server = (
        later(driver_values.share, instance_id),
        later(driver_values.server_of_share, here.server_id),
    )
    try:
        if here.snapshot_id is None:
            locations: list[ExportLocation] = effect(driver.create_share, share, server)
        else:
            source = later(snapshot_values.source_of_share, here.snapshot_id)
            locations = effect(driver.create_share_from_snapshot, share, source, server)
    except BackendError as error:
        try:
            effect(driver.delete_share, share, server)
        except BackendError:
            # what is left goes with the deletion of the share; the reason to tell is the first one
            raise error from None
        if (
            isinstance(error, NoSpace)
            and here.snapshot_id is None
            and tx(next_pool.place_again, instance_id, [*tried, here.host])
        ):
            return
        raise
    tx(share_instances.created, instance_id, locations)
