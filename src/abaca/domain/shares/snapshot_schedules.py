"""The snapshot schedule of a share: that of its metadata, or else that of its type when the share
was created. The snapshots themselves: `domain/snapshots/scheduled_snapshots.py`."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import utcnow
from abaca.db.tables import snapshot_schedules
from abaca.domain.share_types import snapshot_plans
from abaca.domain.share_types.share_types import SNAPSHOT_SCHEDULE
from abaca.domain.share_types.snapshot_plans import SnapshotPlan
from abaca.errors import Invalid

KEY = "snapshot_schedule"
"""Of the metadata of shares, and of the snapshots that were taken by a schedule."""


def plans(
    metadata: Mapping[str, str], extra_specs: Mapping[str, str], *, snapshot_support: bool
) -> list[SnapshotPlan]:
    """What metadata and type say. Raises Invalid for metadata that make no sense, or a share that
    can have no snapshots."""
    if KEY not in metadata:
        by_type = extra_specs.get(SNAPSHOT_SCHEDULE) if snapshot_support else None
        return snapshot_plans.parse(by_type or snapshot_plans.NONE)
    try:
        found = snapshot_plans.parse(metadata[KEY])
    except ValueError as error:
        raise Invalid(f"Invalid {KEY}: {error}.") from None
    if found and not snapshot_support:
        raise Invalid(f"Invalid {KEY}: the share type does not support snapshots.")
    return found


def replace(conn: Connection, share_id: str, wanted: list[SnapshotPlan]) -> None:
    """Store the schedule of a share in place of the one before. Snapshots that were taken stay."""
    table = snapshot_schedules
    conn.execute(sa.delete(table).where(table.c.share_id == share_id))
    begin(conn, {share_id: wanted})


def begin(conn: Connection, wanted: Mapping[str, list[SnapshotPlan]]) -> None:
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
        conn.execute(sa.insert(snapshot_schedules), rows)
