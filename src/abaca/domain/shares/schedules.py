"""Schedules of a share, by which snapshots or backups of it are made: what its metadata say, or
else its type when the share was created; when the next one is due; which are surplus.

How one is made and deleted: `domain/snapshots/scheduled_snapshots.py`,
`domain/backups/scheduled_backups.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import (
    backup_schedules,
    share_backups,
    share_instances,
    share_snapshot_instances,
    snapshot_schedules,
)
from abaca.db.tables import shares as shares_table
from abaca.domain.rows import messages
from abaca.domain.share_types import snapshot_plans
from abaca.domain.share_types.share_types import BACKUP_SCHEDULE, SNAPSHOT_SCHEDULE
from abaca.domain.share_types.snapshot_plans import SnapshotPlan
from abaca.domain.shares import shares
from abaca.domain.shares.share_instances import IS_ACTIVE, on_back_ends
from abaca.errors import CallerError, Invalid
from abaca.values import Caller

_LOG = logging.getLogger(__name__)

MOST_AT_ONCE = 200
"""So many are begun in a pass; the others in the next one."""
_TRY_AGAIN = timedelta(minutes=5)
"""After which one is tried again of a share that is not available, or is busy."""

Make = Callable[[Connection, Caller, str, str, str], str]
"""Begins to make one, for the share's user: of a share, by that name, for that frequency; its
id."""


class Scheduled(NamedTuple):
    """A row of a schedule, by its key."""

    share_id: str
    frequency: str


@dataclass(frozen=True, eq=False)
class Schedules:
    """Those of one kind. `what`: snapshot or backup; `done`: what is done to make one; `key`: of
    the metadata of shares; `spec`: of share types; `status_of`: the column that says how far one
    is, by the column `made`."""

    what: str
    done: str
    key: str
    spec: str
    table: sa.Table
    made: sa.ColumnElement[Any]
    status_of: sa.ColumnElement[Any]

    def plans(
        self, metadata: Mapping[str, str], extra_specs: Mapping[str, str], *, is_supported: bool
    ) -> list[SnapshotPlan]:
        """What metadata and type say. Raises Invalid for metadata that make no sense, or a share
        that can have none of these."""
        if self.key not in metadata:
            by_type = extra_specs.get(self.spec) if is_supported else None
            return snapshot_plans.parse(by_type or snapshot_plans.NONE)
        try:
            found = snapshot_plans.parse(metadata[self.key])
        except ValueError as error:
            raise Invalid(f"Invalid {self.key}: {error}.") from None
        if found and not is_supported:
            raise Invalid(f"Invalid {self.key}: the share type does not support {self.what}s.")
        return found

    def replace(self, conn: Connection, share_id: str, wanted: list[SnapshotPlan]) -> None:
        """Store the schedule of a share in place of the one before. What was made stays."""
        conn.execute(sa.delete(self.table).where(self.table.c.share_id == share_id))
        self.begin(conn, {share_id: wanted})

    def begin(self, conn: Connection, wanted: Mapping[str, list[SnapshotPlan]]) -> None:
        """Store the schedules of new shares, by their ids."""
        now = utcnow()
        rows = [
            {
                "share_id": share_id,
                **plan._asdict(),
                "next_at": snapshot_plans.next_time(plan, share_id, now),
            }
            for share_id, plans_of_share in wanted.items()
            for plan in plans_of_share
        ]
        if rows:
            conn.execute(sa.insert(self.table), rows)

    def due(
        self, conn: Connection, hosts: Collection[str], most: int = MOST_AT_ONCE
    ) -> list[Scheduled]:
        """Whose time has come, of shares on these back ends (host@backend), at most so many: of
        each project the oldest first, and projects take turns."""
        table = self.table
        turn = sa.func.row_number().over(
            partition_by=shares_table.c.project_id, order_by=table.c.next_at
        )
        query = (
            self._on(hosts)
            .where(table.c.next_at <= utcnow(), shares_table.c.scheduled_to_be_deleted_at.is_(None))
            .order_by(turn, table.c.next_at)
            .limit(most)
        )
        return [Scheduled(*row) for row in conn.execute(query)]

    def take(self, conn: Connection, scheduled: Scheduled, make: Make) -> None:
        """Have one made whose time has come, and set the next time. What keeps it from being made
        is told to the project; a share that is not available is tried again soon."""
        share = shares.lock(conn, shares.ANYBODY, scheduled.share_id)
        row, now = self.row(conn, scheduled), utcnow()
        if row is None or row.next_at > now:
            return
        plan = SnapshotPlan(row.frequency, row.kept, row.minute)
        next_at = snapshot_plans.next_time(plan, share.id, now)
        if share.status != "available":
            self._update(conn, scheduled, next_at=min(next_at, now + _TRY_AGAIN))
            return
        owner = Caller(user_id=share.user_id or "", project_id=share.project_id, roles=("member",))
        try:
            with conn.begin_nested():
                made = make(conn, owner, share.id, _name(plan, now), plan.frequency)
        except CallerError as error:
            _LOG.warning(
                "no %s %s of share %s: %s", plan.frequency, self.what, share.id, error.message
            )
            messages.create(
                conn,
                project_id=share.project_id,
                resource_type="SHARE",
                resource_id=share.id,
                action=messages.Action.CREATE,
                text=f"The {plan.frequency} {self.what} of the share was not {self.done}: "
                f"{error.message}",
                repeats=False,
            )
            self._update(conn, scheduled, next_at=next_at)
        else:
            self._update(conn, scheduled, next_at=next_at, newest_id=made)

    def taken(self, conn: Connection, hosts: Collection[str]) -> list[Scheduled]:
        """Those of which the newest is finished, so that the surplus can go; at most
        MOST_AT_ONCE."""
        newest = self.table.c[self._newest]
        going_on = (
            sa.select(self.made).where(self.made == newest, self.status_of == "creating").exists()
        )
        query = self._on(hosts).where(newest.is_not(None), ~going_on)
        return [Scheduled(*row) for row in conn.execute(query.limit(MOST_AT_ONCE))]

    def delete_surplus(
        self,
        conn: Connection,
        scheduled: Scheduled,
        newest_first: Sequence[sa.Row[Any]],
        delete: Callable[[Connection, Caller, str], None],
    ) -> None:
        """Delete the oldest of a schedule's beyond those that are kept, and those that failed
        before the newest good one. One that cannot be deleted now stays until the next time.
        `newest_first`: rows with id, status and created_at."""
        row = self.row(conn, scheduled)
        if row is None:
            return
        for made in _surplus(newest_first, row.kept):
            try:
                with conn.begin_nested():
                    delete(conn, shares.ANYBODY, made)
            except CallerError as error:
                _LOG.info("%s %s %s stays: %s", row.frequency, self.what, made, error.message)
        self._update(conn, scheduled, newest_id=None)

    def row(self, conn: Connection, scheduled: Scheduled) -> sa.Row[Any] | None:
        """The stored row, if it is still there."""
        return conn.execute(sa.select(self.table).where(self._is(scheduled))).one_or_none()

    @property
    def _newest(self) -> str:
        return f"newest_{self.what}_id"

    def _on(self, hosts: Collection[str]) -> sa.Select[Any]:
        table = self.table
        return (
            sa.select(table.c.share_id, table.c.frequency)
            .join(shares_table, shares_table.c.id == table.c.share_id)
            .join(share_instances, (share_instances.c.share_id == table.c.share_id) & IS_ACTIVE)
            .where(on_back_ends(hosts))
        )

    def _update(self, conn: Connection, scheduled: Scheduled, **values: Any) -> None:
        named = {
            self._newest if name == "newest_id" else name: value for name, value in values.items()
        }
        conn.execute(sa.update(self.table).where(self._is(scheduled)).values(named))

    def _is(self, scheduled: Scheduled) -> sa.ColumnElement[bool]:
        of_share = self.table.c.share_id == scheduled.share_id
        return of_share & (self.table.c.frequency == scheduled.frequency)


SNAPSHOTS = Schedules(
    "snapshot",
    "taken",
    "snapshot_schedule",
    SNAPSHOT_SCHEDULE,
    snapshot_schedules,
    share_snapshot_instances.c.snapshot_id,
    share_snapshot_instances.c.status,
)
BACKUPS = Schedules(
    "backup",
    "made",
    "backup_schedule",
    BACKUP_SCHEDULE,
    backup_schedules,
    share_backups.c.id,
    share_backups.c.status,
)
KINDS = (SNAPSHOTS, BACKUPS)


class Plans(NamedTuple):
    """Both schedules of a share."""

    snapshots: list[SnapshotPlan]
    backups: list[SnapshotPlan]


def plans(
    metadata: Mapping[str, str], extra_specs: Mapping[str, str], *, snapshot_support: bool
) -> Plans:
    """What metadata and type say of both. Raises Invalid for what makes no sense, and for both at
    once: a share that has snapshots is not backed up."""
    found = Plans(
        SNAPSHOTS.plans(metadata, extra_specs, is_supported=snapshot_support),
        BACKUPS.plans(metadata, extra_specs, is_supported=True),
    )
    if found.snapshots and found.backups:
        raise Invalid(
            f"A share has a {SNAPSHOTS.key} or a {BACKUPS.key}, not both: with snapshots it is not "
            f"backed up. Set the other one to {snapshot_plans.NONE}."
        )
    return found


def begin(conn: Connection, wanted: Mapping[str, Plans]) -> None:
    """Store the schedules of new shares, by their ids."""
    SNAPSHOTS.begin(conn, {share_id: each.snapshots for share_id, each in wanted.items()})
    BACKUPS.begin(conn, {share_id: each.backups for share_id, each in wanted.items()})


def _surplus(newest_first: Sequence[sa.Row[Any]], kept: int) -> list[str]:
    good = [row for row in newest_first if row.status == "available"]
    failed = [row for row in newest_first if row.status == "error"]
    return [row.id for row in good[kept:]] + [
        row.id for row in failed if good and row.created_at < good[0].created_at
    ]


def _name(plan: SnapshotPlan, now: datetime) -> str:
    return f"{plan.frequency}-{now:%Y-%m-%dT%H:%MZ}"
