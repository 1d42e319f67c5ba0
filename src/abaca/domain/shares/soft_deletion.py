"""Soft deletion: shares that stay for some time before they are deleted, and can be restored until
then.

Such a share counts against quotas, keeps its room, its share server and its share network, and
stays exported by its access rules. It can only be restored or deleted
(`shares.require_not_soft_deleted`); its metadata may change.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import share_instances
from abaca.db.tables import shares as table
from abaca.domain.rows import states
from abaca.domain.rows.states import Permit
from abaca.domain.shares import resource_lock_checks, share_membership, shares
from abaca.domain.shares.share_instances import IS_ACTIVE, on_back_ends
from abaca.errors import Forbidden
from abaca.values import Caller


def soft_delete(conn: Connection, caller: Caller, share_id: str, kept_seconds: int) -> None:
    """Soft-delete a share for so many seconds. Raises Forbidden in a status that does not permit
    it, with snapshots (but those whose deletion is deferred), backups or resource locks, and for
    one that is soft-deleted already."""
    share = shares.lock(conn, caller, share_id)
    shares.require_not_soft_deleted(share)
    shares.require_status(share, Permit.SOFT_DELETE)
    shares.require_no_snapshots(conn, share, but_deferred=True)
    shares.require_no_backups(conn, share)
    share_membership.require_no_member(share, "soft-deleted")
    resource_lock_checks.require_share_deletable(conn, share_id)
    _schedule(conn, share_id, utcnow() + timedelta(seconds=kept_seconds))


def restore(conn: Connection, caller: Caller, share_id: str) -> None:
    """Restore a soft-deleted share; does nothing for others. Raises Forbidden once it is being
    deleted."""
    share = shares.lock(conn, caller, share_id)
    if share.scheduled_to_be_deleted_at is None:
        return
    if not states.SHARE.permits(share.status, Permit.RESTORE):
        raise Forbidden(f"Share {share_id} is {share.status}: it is too late to restore it.")
    _schedule(conn, share_id, None)


def due(conn: Connection, hosts: Collection[str]) -> list[str]:
    """The shares on these back ends (host@backend), and those that were never placed, whose
    retention time is over."""
    query = (
        sa.select(table.c.id)
        .select_from(table)
        .join(share_instances, (share_instances.c.share_id == table.c.id) & IS_ACTIVE)
        .where(
            table.c.scheduled_to_be_deleted_at <= utcnow(),
            share_instances.c.status.in_(states.SHARE.permitted[Permit.EXPIRE]),
            on_back_ends(hosts) | share_instances.c.host.is_(None),
        )
    )
    return list(conn.scalars(query))


def delete_due(conn: Connection, share_id: str, *, is_deferred: bool = False) -> None:
    """Delete a share as its project would, unless it was restored meanwhile. Raises what a deletion
    raises; `is_deferred`: as there."""
    share = shares.lock(conn, shares.ANYBODY, share_id)
    if (
        share.scheduled_to_be_deleted_at is not None
        and share.scheduled_to_be_deleted_at <= utcnow()
    ):
        shares.delete(conn, shares.ANYBODY, share_id, is_deferred=is_deferred)


def _schedule(conn: Connection, share_id: str, when: datetime | None) -> None:
    conn.execute(
        sa.update(table).where(table.c.id == share_id).values(scheduled_to_be_deleted_at=when)
    )
