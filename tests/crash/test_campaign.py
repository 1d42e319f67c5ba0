"""Half a minute of random operations under random kills on each back end. The seed is drawn
from that of the run.

`make crash` plays a seed again, for as long as wanted.
"""

from __future__ import annotations

from itertools import islice

import pytest

from tests import ceph_cluster, sample
from tests.contracts.drivers.linux_backend import unavailable_reason
from tests.crash.campaign import CEPH_KILLS, KILLS, Campaign, Report
from tests.crash.customer import WEIGHTS
from tests.crash.decisions import decisions
from tests.crash.site import site
from tests.databases import find_postgresql

SECONDS = 15.0 * sample.FACTOR

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("half a minute of random kills on each back end"),
    pytest.mark.timeout(600 + 4 * SECONDS),
]


def run(form: str) -> Report:
    if find_postgresql() is None:
        pytest.skip("PostgreSQL is missing (Debian: postgresql)")
    seed = sample.number(f"campaign {form}")
    with site(form, seed) as made:
        report = Campaign(made, seed).run(SECONDS)
        print(report)
        assert not report.violations, made.said()
    return report


def test_nothing_is_lost_or_left_whatever_is_killed() -> None:
    report = run("fake")
    assert report.kills.total() and report.accepted


@pytest.mark.root
def test_nothing_is_lost_or_left_on_real_file_servers() -> None:
    if reason := unavailable_reason():
        pytest.skip(reason)
    report = run("linux")
    assert report.kills.total() and report.accepted and report.visits


@pytest.mark.root
def test_nothing_is_lost_or_left_on_cephfs_whatever_of_ceph_is_killed() -> None:
    if reason := unavailable_reason() or ceph_cluster.unavailable_reason():
        pytest.skip(reason)
    report = run("ceph")
    assert report.kills.keys() & CEPH_KILLS.keys() and report.accepted and report.visits


@pytest.mark.parametrize("weights", [WEIGHTS, KILLS])
def test_a_seed_draws_the_same_decisions(weights: dict[str, int]) -> None:
    def drawn(seed: int) -> list[object]:
        return list(islice(decisions(seed, "somebody", weights, 0.0, 1.0), 50))

    assert drawn(7) == drawn(7) != drawn(8)
