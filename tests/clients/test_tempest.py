"""manila-tempest-plugin's tests of share networks, subnets, share servers and security services,
and our own plug-in, with a real Keystone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tempest import families
from tests.tempest.known import EXPECTED, reason, unexpected
from tests.tempest.scene import scene
from tests.tempest.suite import Outcome, summary

pytestmark = [
    pytest.mark.sampled_file(3),
    pytest.mark.slow("tempest runs 140 tests on a whole installation"),
    pytest.mark.timeout(900),
]

SECONDS = 600
PASSED_MIN = 135
OURS_MIN = 11


@pytest.fixture(scope="module")
def outcomes(keystone_template: Path) -> Iterator[list[Outcome]]:
    """How each test ended."""
    with scene(keystone_template) as play:
        yield play.suite.run(
            families.default(), workers=2, seconds=SECONDS, but=families.excluded()
        )


def test_nothing_fails_but_what_is_listed(outcomes: list[Outcome]) -> None:
    assert unexpected(outcomes) == [], summary(outcomes, reason)
    assert any(reason(outcome.name) for outcome in outcomes), (
        "the tests that are expected to fail were not run"
    )


def test_most_of_them_ran(outcomes: list[Outcome]) -> None:
    passed = [outcome.id for outcome in outcomes if outcome.status == "success"]
    assert len(passed) >= PASSED_MIN, summary(outcomes, reason)
    assert len([id_ for id_ in passed if id_.startswith(families.OURS)]) >= OURS_MIN


def test_what_is_expected_to_fail_is_documented() -> None:
    told = (Path(__file__).parents[2] / "docs" / "tempest.md").read_text()
    assert [
        text for known in EXPECTED.values() for text in known if text not in " ".join(told.split())
    ] == []
