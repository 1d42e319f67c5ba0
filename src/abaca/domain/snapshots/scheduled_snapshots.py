"""Snapshots that are taken by the schedule of their share, and how the surplus of them goes.

Such a snapshot has the frequency in its metadata `snapshot_schedule`. Whoever takes that away keeps
the snapshot.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import (
    share_instances,
    share_snapshot_instances,
    share_snapshots,
)
from abaca.db.tables import (
    shares as shares_table,
)
from abaca.db.tables import (
    snapshot_schedules as table,
)
from abaca.domain.rows import messages
from abaca.domain.share_types import snapshot_plans
from abaca.domain.share_types.snapshot_plans import SnapshotPlan
from abaca.domain.shares import shares
from abaca.domain.shares.share_instances import IS_ACTIVE, on_back_ends
from abaca.domain.shares.snapshot_schedules import KEY
from abaca.domain.snapshots import snapshots
from abaca.errors import CallerError
from abaca.values import Caller

_LOG = logging.getLogger(__name__)

MOST_AT_ONCE = 200
"""So many are begun in a pass; the others in the next one."""
_TRY_AGAIN = timedelta(minutes=5)
"""After which a snapshot is tried again of a share that is not available, or is busy."""


class Scheduled(NamedTuple):
    """A row of the schedule, by its key."""

    share_id: str
    frequency: str


def due(conn: Connection, hosts: Collection[str], most: int = MOST_AT_ONCE) -> list[Scheduled]:
    """Whose time has come, of shares on these back ends (host@backend), at most so many: of each
    project the oldest first, and projects take turns."""
    turn = sa.func.row_number().over(
        partition_by=shares_table.c.project_id, order_by=table.c.next_at
    )
    query = (
        _on(hosts)
        .where(table.c.next_at <= utcnow(), shares_table.c.scheduled_to_be_deleted_at.is_(None))
        .order_by(turn, table.c.next_at)
        .limit(most)
    )
    return [Scheduled(*row) for row in conn.execute(query)]


def take(
    conn: Connection, scheduled: Scheduled, quota_defaults: Mapping[str, int] | None = None
) -> None:
    """Have a snapshot taken whose time has come, and set the next time. What keeps it from being
    taken is told to the project; a share that is not available is tried again soon."""
    share = shares.lock(conn, shares.ANYBODY, scheduled.share_id)
    row, now = _row(conn, scheduled), utcnow()
    if row is None or row.next_at > now:
        return
    plan = SnapshotPlan(row.frequency, row.kept, row.minute)
    next_at = snapshot_plans.next_time(plan, share.id, now)
    if share.status != "available":
        _update(conn, scheduled, next_at=min(next_at, now + _TRY_AGAIN))
        return
    owner = Caller(user_id=share.user_id or "", project_id=share.project_id, roles=("member",))
    try:
        with conn.begin_nested():
            snapshot = snapshots.create(
                conn,
                owner,
                share.id,
                name=_name(plan, now),
                metadata={KEY: plan.frequency},
                quota_defaults=quota_defaults,
            )
    except CallerError as error:
        _LOG.warning("no %s snapshot of share %s: %s", plan.frequency, share.id, error.message)
        messages.create(
            conn,
            project_id=share.project_id,
            resource_type="SHARE",
            resource_id=share.id,
            action=messages.Action.CREATE,
            text=f"The {plan.frequency} snapshot of the share was not taken: {error.message}",
            repeats=False,
        )
        _update(conn, scheduled, next_at=next_at)
    else:
        _update(conn, scheduled, next_at=next_at, newest_snapshot_id=snapshot["id"])


def taken(conn: Connection, hosts: Collection[str]) -> list[Scheduled]:
    """Those whose newest snapshot is finished, so that the surplus can go; at most MOST_AT_ONCE."""
    of_newest = (
        sa.select(share_snapshot_instances.c.id)
        .where(
            share_snapshot_instances.c.snapshot_id == table.c.newest_snapshot_id,
            share_snapshot_instances.c.status == "creating",
        )
        .exists()
    )
    query = _on(hosts).where(table.c.newest_snapshot_id.is_not(None), ~of_newest)
    return [Scheduled(*row) for row in conn.execute(query.limit(MOST_AT_ONCE))]


def delete_surplus(conn: Connection, scheduled: Scheduled) -> None:
    """Delete the oldest snapshots of a schedule beyond those that are kept, and those that failed
    before the newest good one. One that cannot be deleted now stays until the next time."""
    shares.lock(conn, shares.ANYBODY, scheduled.share_id)
    row = _row(conn, scheduled)
    if row is None:
        return
    for snapshot_id in _surplus(_of_schedule(conn, scheduled), row.kept):
        try:
            with conn.begin_nested():
                snapshots.delete(conn, shares.ANYBODY, snapshot_id)
        except CallerError as error:
            _LOG.info("%s snapshot %s stays: %s", row.frequency, snapshot_id, error.message)
    _update(conn, scheduled, newest_snapshot_id=None)


def _surplus(newest_first: Sequence[sa.Row[Any]], kept: int) -> list[str]:
    good = [row for row in newest_first if row.status == "available"]
    failed = [row for row in newest_first if row.status == "error"]
    return [row.id for row in good[kept:]] + [
        row.id for row in failed if good and row.created_at < good[0].created_at
    ]


def _of_schedule(conn: Connection, scheduled: Scheduled) -> list[sa.Row[Any]]:
    of_share: sa.Select[Any] = (
        sa.select(
            share_snapshots.c.id,
            share_snapshots.c.created_at,
            share_snapshots.c.metadata,
            share_snapshot_instances.c.status,
        )
        .join(share_snapshot_instances)
        .where(share_snapshots.c.share_id == scheduled.share_id)
        .order_by(share_snapshots.c.created_at.desc(), share_snapshots.c.id)
    )
    return [
        row for row in conn.execute(of_share).all() if row.metadata.get(KEY) == scheduled.frequency
    ]


def _on(hosts: Collection[str]) -> sa.Select[Any]:
    return (
        sa.select(table.c.share_id, table.c.frequency)
        .join(shares_table, shares_table.c.id == table.c.share_id)
        .join(share_instances, (share_instances.c.share_id == table.c.share_id) & IS_ACTIVE)
        .where(on_back_ends(hosts))
    )


def _row(conn: Connection, scheduled: Scheduled) -> sa.Row[Any] | None:
    return conn.execute(sa.select(table).where(_is(scheduled))).one_or_none()


def _update(conn: Connection, scheduled: Scheduled, **values: Any) -> None:
    conn.execute(sa.update(table).where(_is(scheduled)).values(values))


def _is(scheduled: Scheduled) -> sa.ColumnElement[bool]:
    return (table.c.share_id == scheduled.share_id) & (table.c.frequency == scheduled.frequency)


def _name(plan: SnapshotPlan, now: datetime) -> str:
    return f"{plan.frequency}-{now:%Y-%m-%dT%H:%MZ}"
