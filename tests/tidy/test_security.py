"""Every wall of docs/security.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tidy.test_spec_coverage import exists

DOCUMENT = Path(__file__).parents[2] / "docs/security.md"
WALLS = [
    cells for line in DOCUMENT.read_text().splitlines() if len(cells := line.split("|")[1:-1]) == 4
]
ROWS = [cells for cells in WALLS if set(cells[0]) != {"-"} and cells[0].strip() != "surface"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip()[:50])
def test_a_wall_is_proved_by_tests(row: list[str]) -> None:
    surface, attacker, wall, proved_by = (cell.strip() for cell in row)
    assert surface and attacker and wall
    tests = re.findall(r"`([^`]+)`", proved_by)
    assert tests
    assert [test for test in tests if not exists(test)] == []


def test_each_surface_has_one_row() -> None:
    """What a merge has doubled tells readers what was true once."""
    surfaces = [cells[0].strip() for cells in ROWS]
    assert [each for each in surfaces if surfaces.count(each) > 1] == []
