"""Make a share: its share server first, where it has none yet, then the share on it."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy.engine import Connection

from abaca.domain import driver_values, messages, share_instances
from abaca.errors import BackendError
from abaca.operations import serving
from abaca.operations.share_server_setup import fail_if_creating, make_sure_of_server
from abaca.values import ExportLocation
from abaca.workflow.steps import effect, tx, workflow


def fail(conn: Connection, instance_id: str, reason: str) -> None:
    """The share is in error, and so is a server that was only half set up for it."""
    place = share_instances.place(conn, instance_id)
    if place is not None:
        fail_if_creating(conn, place.share_server_id, reason)
    share_instances.fail(conn, instance_id, "error", messages.Action.CREATE, reason)


@workflow(on_failure=fail)
def share_create(instance_id: str) -> None:
    place = tx(share_instances.place, instance_id)
    if place is None:
        return
    make_sure_of_server(place.share_server_id, place.host)
    driver = serving.current().driver(place.host)
    with serving.current().locks.shared(place.share_server_id):
        share = tx(driver_values.existing_share, instance_id)
        server = tx(driver_values.share_server, place.share_server_id)
        try:
            locations: list[ExportLocation] = effect(driver.create_share, share, server)
        except BackendError:
            # What is left when this fails, too, goes with the deletion of the share; the reason to tell is the first one.
            with suppress(BackendError):
                effect(driver.delete_share, share, server)
            raise
        tx(share_instances.created, instance_id, locations)
