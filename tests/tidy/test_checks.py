"""The tidy checks themselves can fail: what each is meant to find, it finds."""

from __future__ import annotations

import ast

import pytest

from tests.tidy import test_tree as checks


@pytest.mark.parametrize(
    "code",
    [
        "try: f()\nexcept: pass",
        "try: f()\nexcept Exception: pass",
        "try: f()\nexcept (ValueError, BaseException) as error: pass",
        "with contextlib.suppress(Exception): f()",
    ],
)
def test_a_catch_all_is_found(code: str) -> None:
    assert any(map(checks.calls_a_catch_all, ast.walk(ast.parse(code))))


@pytest.mark.parametrize(
    "code",
    [
        "try: f()\nexcept (ValueError, OSError): pass",
        "with suppress(KeyError): f()",
        "raise Exception",
    ],
)
def test_a_narrow_handler_is_none(code: str) -> None:
    assert not any(map(checks.calls_a_catch_all, ast.walk(ast.parse(code))))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def create(tx, *, size):\n    'Docs.'\n    return db.create(tx, size=size)", True),
        ("async def create(*args): return await self.db.create(*args)", True),
        ("def create(tx, body): return db.create(tx, body.size)", False),
        ("def create(tx): return db.insert(tx)", False),
        ("def create(tx):\n    check(tx)\n    return db.create(tx)", False),
        ("def __enter__(self): return self.lock.__enter__()", False),
    ],
)
def test_a_namesake_call_is_told_from_work(code: str, found: bool) -> None:
    (function,) = checks.functions(ast.parse(code))
    assert checks.only_calls_its_namesake(function) is found


def test_imports_are_seen_in_every_form() -> None:
    module = ast.parse("import a.b\nfrom c import d\ndef f():\n    from unittest import mock")
    assert {"a.b", "c", "c.d", "unittest.mock"} <= set(checks.imported(module))
