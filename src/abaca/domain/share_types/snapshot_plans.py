"""What a schedule of snapshots or backups says: `hourly:24, daily:7@03:30, weekly:4`.

Share types say it in the extra specs `abaca:snapshot_schedule` and `abaca:backup_schedule`, shares
in their metadata `snapshot_schedule` and `backup_schedule`. Each part has a frequency, how many are
kept and, but for `hourly`, the time of day in UTC. Without a time each share has a minute of its
own, so that not all are taken at once: within each hour, or within the first hour of the day.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import NamedTuple
from zlib import crc32

HOURLY, DAILY, WEEKLY, MONTHLY = "hourly", "daily", "weekly", "monthly"
FREQUENCIES = (HOURLY, DAILY, WEEKLY, MONTHLY)
NONE = "none"
"""In a share's metadata: no schedule, whatever the share type says."""
MOST_KEPT = 1000
_PART = re.compile(
    rf"({'|'.join(FREQUENCIES)}):([1-9][0-9]{{0,3}})(?:@([01][0-9]|2[0-3]):([0-5][0-9]))?"
)
_SUNDAY = 6


class SnapshotPlan(NamedTuple):
    """One part of a schedule. `kept`: how many snapshots. `minute`: of the day, UTC; None: one that
    follows from the share's id."""

    frequency: str
    kept: int
    minute: int | None = None


def parse(text: str) -> list[SnapshotPlan]:
    """The parts of a schedule; none for `none`. Raises ValueError, saying what is wrong."""
    if text.strip() == NONE:
        return []
    plans: dict[str, SnapshotPlan] = {}
    for part in text.split(","):
        plan = _plan(part.strip())
        if plan.frequency in plans:
            raise ValueError(f"it names {plan.frequency} twice")
        plans[plan.frequency] = plan
    return list(plans.values())


def next_time(plan: SnapshotPlan, share_id: str, after: datetime) -> datetime:
    """The first time after `after` (UTC) at which a snapshot of the share is to be taken. Weekly
    ones are taken on Sundays, monthly ones on the first of a month."""
    minute = crc32(share_id.encode()) % 60 if plan.minute is None else plan.minute
    if plan.frequency == HOURLY:
        time = after.replace(minute=minute, second=0, microsecond=0)
        return time if time > after else time + timedelta(hours=1)
    day = after.replace(hour=0, minute=0, second=0, microsecond=0)
    while True:
        time = day + timedelta(minutes=minute)
        if time > after and _is_day(plan.frequency, day):
            return time
        day += timedelta(days=1)


def _plan(part: str) -> SnapshotPlan:
    found = _PART.fullmatch(part)
    if found is None:
        raise ValueError(
            f"'{part}' is not FREQUENCY:KEPT or FREQUENCY:KEPT@HH:MM, as in daily:7@03:30, with "
            f"a frequency of {', '.join(FREQUENCIES)}"
        )
    frequency, kept, hour, minute = found.groups()
    if int(kept) > MOST_KEPT:
        raise ValueError(f"at most {MOST_KEPT} {frequency} ones can be kept, not {kept}")
    if hour is None:
        return SnapshotPlan(frequency, int(kept))
    if frequency == HOURLY:
        raise ValueError("hourly ones have no time of day")
    return SnapshotPlan(frequency, int(kept), 60 * int(hour) + int(minute))


def _is_day(frequency: str, day: datetime) -> bool:
    if frequency == WEEKLY:
        return day.weekday() == _SUNDAY
    return frequency == DAILY or day.day == 1
