"""Every row of docs/spec-coverage.md names tests that exist, or says what is open."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [line.split("|")[1:-1] for line in (ROOT / "docs/spec-coverage.md").read_text().splitlines() if re.match(r"\| [A-E]\d+ ", line)]
WANTED = {"A": 3, "B": 5, "C": 13, "D": 5, "E": 7}


def test_no_requirement_is_left_out() -> None:
    listed = [row[0].strip() for row in ROWS]
    assert listed == [f"{letter}{number}" for letter, last in WANTED.items() for number in range(1, last + 1)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_its_tests_and_modules_exist(row: list[str]) -> None:
    modules, tests, remains = re.findall(r"`([^`]+)`", row[2]), re.findall(r"`([^`]+)`", row[3]), row[4].strip()
    assert tests or remains, "neither a test nor what is open"
    for module in modules:
        assert (ROOT / "src/abaca" / module).exists() or (ROOT / module).exists(), module
    for test in tests:
        path, _, name = test.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}, test
