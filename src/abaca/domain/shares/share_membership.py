"""Shares in share groups: where a new one has to be, and what is refused of members."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import lock_row
from abaca.db.tables import share_group_share_type_mappings, share_groups
from abaca.domain.rows import states
from abaca.domain.rows.states import Permit
from abaca.domain.share_servers import share_servers
from abaca.domain.shares.share_ground import Ground
from abaca.errors import Forbidden, Invalid, Missing
from abaca.values import Caller


def find(conn: Connection, caller: Caller, group_id: str) -> sa.Row[Any]:
    """A group of the caller's project, even for an administrator: the share will be of that
    project, too. Raises Missing."""
    group = conn.execute(sa.select(share_groups).where(share_groups.c.id == group_id)).one_or_none()
    if group is None or group.project_id != caller.project_id:
        raise Missing(f"Share group {group_id} could not be found.")
    return group


def hold(
    conn: Connection,
    group_id: str,
    network: sa.Row[Any] | None,
    share_type_id: str,
    zone_id: str | None,
) -> Ground:
    """Where the group is: its row is locked, after its network's. Raises Invalid if a share of that
    type, network or zone cannot be in it, or it takes none."""
    group = lock_row(conn, share_groups, group_id)
    if group is None:
        raise Missing(f"Share group {group_id} could not be found.")
    if not states.SHARE_GROUP.permits(group.status, Permit.TAKE_SHARES):
        raise Invalid(f"Share group {group_id} must be available, it is {group.status}.")
    if group.host is None or (group.share_network_id and group.share_server_id is None):
        raise Invalid(
            f"Share group {group_id} was never created on a back end; it can only be deleted."
        )
    if group.share_network_id != (network.id if network else None):
        raise Invalid(
            f"The share network of a share in share group {group_id} must be the group's: "
            f"{group.share_network_id or 'none'}."
        )
    if zone_id not in (None, group.availability_zone_id):
        raise Invalid(
            f"The availability zone of a share in share group {group_id} must be the group's."
        )
    _require_type(conn, group_id, share_type_id)
    require_server_takes_shares(conn, group)
    return Ground(network, None, group.availability_zone_id, group.host, group.share_server_id)


def require_server_takes_shares(conn: Connection, group: sa.Row[Any]) -> None:
    """Raises Invalid unless new shares can be made and reached on the group's share server, if it
    has one."""
    if group.share_server_id is None:
        return
    status, _ = share_servers.status_of(conn, group.share_server_id)
    if not states.SHARE_SERVER.permits(status, Permit.TAKE_SHARES):
        raise Invalid(
            f"The share server {group.share_server_id} of share group {group.id} is {status}."
        )
    if share_servers.all_drain(conn, group.share_server_id):
        raise Invalid(
            f"All subnets of the share server of share group {group.id} drain: a new share there "
            "could not be reached. Cancel a drain, or add a subnet first."
        )


def require_same_place(of_group: Ground, of_source: Ground) -> None:
    """Raises Invalid unless the snapshot that a member is made from is where its group is."""
    if of_group[-2:] != of_source[-2:]:
        raise Invalid(
            "The snapshot is not on the pool and the share server of the share group: the share "
            "cannot be made from it in that group."
        )


def require_no_member(share: sa.Row[Any], what: str) -> None:
    """Raises Forbidden for a share (as `shares.lock` returns it) in a group; `what` follows "cannot
    be"."""
    if share.share_group_id is not None:
        raise Forbidden(
            f"Share {share.id} is in share group {share.share_group_id} and cannot be {what}."
        )


def require_named(share: sa.Row[Any], group_id: str | None) -> None:
    """Raises Invalid unless a share (as `shares.lock` returns it) that is to be deleted is in the
    group that the request names, or in none while it names none."""
    if share.share_group_id == group_id:
        return
    raise Invalid(
        f"Share {share.id} is in share group {share.share_group_id}: the parameter share_group_id "
        "of the request must name that group."
        if share.share_group_id
        else f"Share {share.id} is not in share group {group_id}."
    )


def _require_type(conn: Connection, group_id: str, share_type_id: str) -> None:
    table = share_group_share_type_mappings
    known = conn.execute(
        sa.select(table).where(
            table.c.share_group_id == group_id, table.c.share_type_id == share_type_id
        )
    ).first()
    if known is None:
        raise Invalid(
            f"The share type {share_type_id} is not one of the share types of share group "
            f"{group_id}."
        )
