"""manila-tempest-plugin's tests of share networks, subnets, share servers and security services,
and our own plug-in, with a real Keystone; a few more on a cloud without share servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tempest import families
from tests.tempest.known import EXPECTED, reason, unexpected
from tests.tempest.scene import played
from tests.tempest.suite import Outcome, summary

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("tempest runs 180 tests on two whole installations"),
    pytest.mark.timeout(900),
]

SECONDS = 600
PASSED_MIN = {"networks": 135, "plain": 10, "roles": 20}
OURS_MIN = 11


@pytest.fixture(scope="module")
def runs(keystone_template: Path) -> dict[str, list[Outcome]]:
    """How each test ended, by run."""
    return {
        run.name: run.outcomes
        for run in played(
            families.default(), workers=2, seconds=SECONDS, keystone_template=keystone_template
        )
    }


@pytest.fixture(scope="module")
def outcomes(runs: dict[str, list[Outcome]]) -> list[Outcome]:
    return [outcome for run in runs.values() for outcome in run]


def test_nothing_fails_but_what_is_listed(outcomes: list[Outcome]) -> None:
    assert unexpected(outcomes) == [], summary(outcomes, reason)
    assert any(reason(outcome.name) for outcome in outcomes), (
        "the tests that are expected to fail were not run"
    )


def test_most_of_them_ran(runs: dict[str, list[Outcome]]) -> None:
    passed = {
        name: [outcome.id for outcome in outcomes if outcome.status == "success"]
        for name, outcomes in runs.items()
    }
    counts = {name: len(ids) for name, ids in passed.items()}
    assert all(counts[name] >= least for name, least in PASSED_MIN.items()), counts
    assert len([id_ for id_ in passed["networks"] if id_.startswith(families.OURS)]) >= OURS_MIN


def test_what_is_expected_to_fail_is_documented() -> None:
    told = (Path(__file__).parents[2] / "docs" / "tempest.md").read_text()
    assert [
        text for known in EXPECTED.values() for text in known if text not in " ".join(told.split())
    ] == []
