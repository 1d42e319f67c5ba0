"""Every promise of docs/reliability.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tidy.test_spec_coverage import exists

PROMISES = [
    line.split("|")[1:-1]
    for line in (Path(__file__).parents[2] / "docs/reliability.md").read_text().splitlines()
    if "::" in line
]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise[0].strip()[:50])
def test_a_promise_is_held_by_tests(promise: list[str]) -> None:
    tests = re.findall(r"`([^`]+)`", promise[2])
    assert tests
    assert [test for test in tests if not exists(test)] == []


def test_there_are_promises() -> None:
    assert len(PROMISES) > 20
