"""Make a share group: its share server, where that is not set up yet. The group itself is rows
only; its shares bring data."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from abaca.domain.recovery import resumptions
from abaca.domain.share_groups import share_groups
from abaca.operations.share_server_setup import fail_if_creating, make_sure_of_server
from abaca.workflow.steps import tx, workflow


def fail(conn: Connection, group_id: str, share_server_id: str, _host: str, reason: str) -> None:
    """The group is in error, and so is a server that was only half set up for it."""
    fail_if_creating(conn, share_server_id, reason)
    share_groups.fail(conn, group_id, reason)


@workflow(on_failure=fail, on_resume=resumptions.share_group_create)
def share_group_create(group_id: str, share_server_id: str, host: str) -> None:
    """`share_server_id`: empty for a group without one; `host`: host@backend#pool. The server is
    set up although the group may have been deleted meanwhile: it would stay in `creating`."""
    if share_server_id:
        make_sure_of_server(share_server_id, host)
    tx(share_groups.created, group_id)
