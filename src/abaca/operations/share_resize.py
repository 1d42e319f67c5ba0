"""Extend or shrink a share: two workflows of the same shape, side by side. A refused one leaves the
share as it was."""

from __future__ import annotations

import logging

from sqlalchemy.engine import Connection

from abaca import log_context
from abaca.domain.driver_views import driver_values
from abaca.domain.recovery import resumptions
from abaca.domain.rows import messages
from abaca.domain.shares import share_instances
from abaca.errors import Refused
from abaca.operations import serving
from abaca.workflow.steps import effect, later, tx, workflow

_LOG = logging.getLogger(__name__)


def fail_extend(conn: Connection, instance_id: str, new_size: str, reason: str) -> None:
    """Release the claimed space, and notify the project."""
    share_instances.not_extended(conn, instance_id, int(new_size))
    share_instances.fail(conn, instance_id, "extending_error", messages.Action.EXTEND, reason)


@workflow(on_failure=fail_extend, on_resume=resumptions.share_extend)
def share_extend(instance_id: str, new_size: str) -> None:
    with serving.server_of_share(instance_id):
        here = tx(driver_values.share_state, instance_id)
        if here is None:
            return
        share, server = (
            later(driver_values.share, instance_id),
            later(driver_values.server_of_share, here.server_id),
        )
        effect(serving.current().driver(here.host).extend_share, share, int(new_size), server)
        tx(share_instances.resized, instance_id, int(new_size))


def fail_shrink(conn: Connection, instance_id: str, new_size: str, reason: str) -> None:
    """The share keeps its size; `new_size` is not reached."""
    share_instances.fail(conn, instance_id, "shrinking_error", messages.Action.SHRINK, reason)


@workflow(on_failure=fail_shrink, on_resume=resumptions.share_shrink)
def share_shrink(instance_id: str, new_size: str) -> None:
    with serving.server_of_share(instance_id):
        here = tx(driver_values.share_state, instance_id)
        if here is None:
            return
        share, server = (
            later(driver_values.share, instance_id),
            later(driver_values.server_of_share, here.server_id),
        )
        try:
            effect(serving.current().driver(here.host).shrink_share, share, int(new_size), server)
        except Refused as refusal:
            # It holds more than that: nothing is broken, so the share stays usable.
            _LOG.warning("share_shrink('%s') is refused: %s", instance_id, refusal.message)
            reason = refusal.public_text(log_context.request_id())
            tx(share_instances.fail, instance_id, "available", messages.Action.SHRINK, reason)
            return
        tx(share_instances.resized, instance_id, int(new_size))
