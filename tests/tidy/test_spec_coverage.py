"""Every row of docs/spec-coverage.md names tests that exist, or says what is open; and each was
seen to fail: see tests/breakages.py."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests import breakages
from tests.breakages import Breakage

ROOT = Path(__file__).parents[2]
REQUIREMENTS = (ROOT / "docs/spec-coverage.md").read_text()
ROWS = [
    line.split("|")[1:-1] for line in REQUIREMENTS.splitlines() if re.match(r"\| [A-G]\d+ ", line)
]
WANTED: dict[str, int | tuple[int, ...]] = {
    "A": 3,
    "B": 5,
    "C": 13,
    "D": 5,
    "E": 7,
    "F": (1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    "G": 5,
}
"""How many rows there are under each letter, or which ones, while the others are not built."""


def test_no_requirement_is_left_out() -> None:
    listed = [row[0].strip() for row in ROWS]
    assert listed == [
        f"{letter}{number}"
        for letter, rows in WANTED.items()
        for number in (rows if isinstance(rows, tuple) else range(1, rows + 1))
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_its_tests_and_modules_exist(row: list[str]) -> None:
    modules, tests, remains = (
        re.findall(r"`([^`]+)`", row[2]),
        re.findall(r"`([^`]+)`", row[3]),
        row[4].strip(),
    )
    assert tests or remains, "neither a test nor what is open"
    for module in modules:
        assert (ROOT / "src/abaca" / module).exists() or (ROOT / module).exists(), module
    for test in tests:
        assert exists(test), test


@cache
def exists(test: str) -> bool:
    """Whether a test's function or class is in its file; what a class inherits is not looked
    for."""
    path, name = test.split("::")[:2]
    tree = ast.parse((ROOT / path).read_text())
    return name in {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def test_every_requirement_is_broken_on_purpose() -> None:
    elsewhere = {
        "E6",
        "G1",
        "G2",
        "G3",
        "G4",
        "G5",
    }  # the peer's own suite; walls, which attacks were seen to pass before they stood
    assert {row[0].strip() for row in ROWS} - elsewhere <= {
        breakage.row for breakage in breakages.table()
    }


@pytest.mark.parametrize(
    "breakage", breakages.table(), ids=lambda breakage: f"{breakage.row} {breakage.what}"
)
def test_it_can_still_be_broken_so(breakage: Breakage) -> None:
    """The code has changed there when this fails: put what it is now into tests/breakages.toml, and
    try it with `make breakages`."""
    breakages.broken(breakage, ROOT)
    assert [test for test in breakage.tests if not exists(test)] == []
