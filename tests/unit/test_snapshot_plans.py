"""What snapshot schedules say, and when the next snapshot is due."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from abaca.domain.share_types.snapshot_plans import FREQUENCIES, SnapshotPlan, next_time, parse

NOW = datetime(2026, 11, 29, 12, 30, 15)  # a Sunday
IDS = [f"share-{number}" for number in range(200)]


def test_a_schedule_has_several_parts() -> None:
    assert parse(" hourly:24 ,daily:7@03:30, weekly:4,monthly:1000") == [
        SnapshotPlan("hourly", 24),
        SnapshotPlan("daily", 7, 210),
        SnapshotPlan("weekly", 4),
        SnapshotPlan("monthly", 1000),
    ]
    assert parse("none") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not FREQUENCY:KEPT"),
        ("hourly", "'hourly' is not"),
        ("hourly:0", "'hourly:0' is not"),
        ("hourly:-1", "'hourly:-1' is not"),
        ("hourly:1001", "at most 1000 hourly"),
        ("hourly:12345", "'hourly:12345' is not"),
        ("hourly:١", "is not"),
        ("yearly:1", "'yearly:1' is not"),
        ("daily:7@24:00", "'daily:7@24:00' is not"),
        ("daily:7@3:30", "'daily:7@3:30' is not"),
        ("hourly:2@00:30", "hourly ones have no time of day"),
        ("daily:1,,weekly:1", "'' is not"),
        ("daily:1,daily:2@01:00", "it names daily twice"),
        ("none,daily:1", "'none' is not"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (SnapshotPlan("daily", 1, 0), datetime(2026, 11, 30)),
        (SnapshotPlan("daily", 1, 12 * 60 + 30), datetime(2026, 11, 30, 12, 30)),
        (SnapshotPlan("daily", 1, 12 * 60 + 31), datetime(2026, 11, 29, 12, 31)),
        (SnapshotPlan("weekly", 1, 0), datetime(2026, 12, 6)),
        (SnapshotPlan("weekly", 1, 23 * 60), datetime(2026, 11, 29, 23)),
        (SnapshotPlan("monthly", 1, 5), datetime(2026, 12, 1, 0, 5)),
    ],
)
def test_a_time_of_day_is_kept_to(plan: SnapshotPlan, expected: datetime) -> None:
    assert next_time(plan, "any", NOW) == expected


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_without_one_shares_are_spread_over_an_hour(frequency: str) -> None:
    times = [next_time(SnapshotPlan(frequency, 1), share_id, NOW) for share_id in IDS]
    assert len({time.minute for time in times}) > 30
    assert min(times) > NOW
    most = {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(days=7)}
    assert max(times) <= NOW + most.get(frequency, timedelta(days=31))
    if frequency != "hourly":
        assert {time.hour for time in times} == {0}


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_the_next_time_always_comes_later(frequency: str) -> None:
    plan, time = SnapshotPlan(frequency, 1), NOW
    for _ in range(30):
        later = next_time(plan, "any", time)
        assert later > time
        assert later.minute == next_time(plan, "any", later).minute
        time = later
