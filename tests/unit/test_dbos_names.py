"""The names of DBOS's inside that are used are those that ADR 0027 lists, and the release that is
installed has them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADR = next((ROOT / "docs" / "adr").glob("0027-*.md")).read_text()
LISTED = re.findall(r"^\| `(dbos\.[\w.]+)` \|", ADR, re.MULTILINE)


def imported() -> set[str]:
    """What the source imports from modules of DBOS's whose names begin with `_`."""
    return {
        f"{node.module}.{alias.name}"
        for file in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dbos._")
        for alias in node.names
    }


def test_what_is_imported_is_listed() -> None:
    assert imported()
    assert imported() <= set(LISTED)


@pytest.mark.parametrize("name", LISTED)
def test_the_release_has_it(name: str) -> None:
    module, symbol, *member = re.fullmatch(r"(dbos\.\w+)\.(\w+)(?:\.(\w+))?", name).groups("")  # type: ignore[union-attr]
    found = getattr(importlib.import_module(module), symbol)
    if member[0] and not hasattr(found, member[0]):
        assert re.search(rf"\bself\.{member[0]}\b.* =", inspect.getsource(found)), (
            "neither the class nor its objects have it"
        )
