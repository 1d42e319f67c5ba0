"""The rules of the tree, as tests: names, sizes, comments, and what may be imported or caught
where.

Layers are in `test_layers.py`, documents in `test_docs.py`, routes in `test_routes.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from abaca import errors
from abaca.api import faults
from abaca.db import migrations

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "abaca"
TESTS = ROOT / "tests"

LINES_MAX = 700
NAMES_THAT_SAY_NOTHING = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "base",
    "manager",
    "misc",
    "impl",
}
# The step boundary, the threads of its calls, and the reconcile boundary. At the WSGI edge it is
# Falcon that catches everything.
CATCH_ALL_PLACES = {"workflow/steps.py", "workflow/deadlines.py", "reconcile/passes.py"}
EVERYTHING = {"Exception", "BaseException"}
MOCKS = {"unittest.mock", "mock", "pytest_mock", "flexmock"}
INTERFACES = ("drivers/interface.py", "networks/interface.py")


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@cache
def every_node(module: ast.Module) -> tuple[ast.AST, ...]:
    """Every node of a module. Walking a tree takes long, and several checks look at each."""
    return tuple(ast.walk(module))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(module: ast.Module) -> Iterator[str]:
    """The full names that a module imports; `from a import b` counts as `a` and as `a.b`."""
    for node in every_node(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls_a_catch_all(node: ast.AST) -> bool:
    """`except:`, `except Exception`, one in a tuple, or `suppress(Exception)`."""
    if isinstance(node, ast.ExceptHandler):
        return node.type is None or any(
            isinstance(part, ast.Name) and part.id in EVERYTHING for part in ast.walk(node.type)
        )
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
        return any(
            isinstance(argument, ast.Name) and argument.id in EVERYTHING for argument in node.args
        )
    return False


def only_calls_its_namesake(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Nothing but a call of the same name, handing on plain names: a layer that does nothing."""
    body = [
        node
        for node in function.body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    if (
        len(body) != 1
        or not isinstance(body[0], ast.Return | ast.Expr)
        or function.name.startswith("__")
    ):
        return False
    call = body[0].value.value if isinstance(body[0].value, ast.Await) else body[0].value
    if not isinstance(call, ast.Call) or ast.unparse(call.func).rpartition(".")[2] != function.name:
        return False
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    return all(
        isinstance(part.value if isinstance(part, ast.Starred) else part, ast.Name | ast.Constant)
        for part in arguments
    )


def functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (
        node
        for node in every_node(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_names_say_what_is_inside() -> None:
    folders = {path.parent for path in [*modules(SOURCE), *modules(TESTS)]}
    bad = [
        name(path)
        for path in [*modules(SOURCE), *modules(TESTS), *folders]
        if NAMES_THAT_SAY_NOTHING & set(path.stem.strip("_").split("_"))
    ]
    assert bad == []


def test_no_module_is_long() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in modules(SOURCE)}
    assert {path: lines for path, lines in lengths.items() if lines > LINES_MAX} == {}


def test_every_module_says_what_is_in_it() -> None:
    assert [
        name(path)
        for path in modules(SOURCE)
        if tree(path).body and not ast.get_docstring(tree(path))
    ] == []


@pytest.mark.parametrize("path", INTERFACES)
def test_what_plug_in_authors_read_is_documented(path: str) -> None:
    nodes = [
        node
        for node in every_node(tree(SOURCE / path))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [
        node.name for node in nodes if not node.name.startswith("_") and not ast.get_docstring(node)
    ] == []


def test_nothing_is_left_to_be_done() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError|NotImplemented)\b")
    assert [name(path) for path in modules(SOURCE) if unfinished.search(path.read_text())] == []


def test_a_catch_all_stands_in_three_places_only() -> None:
    catching = {
        path.relative_to(SOURCE).as_posix()
        for path in modules(SOURCE)
        if any(map(calls_a_catch_all, every_node(tree(path))))
    }
    assert catching == CATCH_ALL_PLACES


def test_no_error_is_made_before_it_is_raised() -> None:
    """One that a module keeps grows a traceback with each time it is raised, which keeps the
    request."""
    kept = re.compile(r"^\w+(: .*)? = (\w+)\(", re.MULTILINE)
    known = {**vars(errors), **vars(faults)}.items()
    classes = {key for key, it in known if isinstance(it, type) and issubclass(it, Exception)}
    assert [
        (name(path), made[2])
        for path in modules(SOURCE)
        for made in kept.finditer(path.read_text())
        if made[2] in classes
    ] == []


def test_no_function_only_calls_its_namesake() -> None:
    found = [
        (name(path), function.name)
        for path in modules(SOURCE)
        for function in functions(tree(path))
        if only_calls_its_namesake(function)
    ]
    assert found == []


def test_nothing_is_mocked() -> None:
    bad = [
        name(path)
        for path in [*modules(SOURCE), *modules(TESTS)]
        if MOCKS & set(imported(tree(path)))
    ]
    patched = [
        name(path)
        for path in modules(TESTS)
        if re.search(r"monkeypatch\s*\.\s*setattr\(", path.read_text())
    ]
    assert (bad, patched) == ([], [])


def test_no_test_sleeps() -> None:
    assert [
        name(path)
        for path in modules(TESTS)
        if re.search(r"\btime\.sleep\(", path.read_text()) and path != Path(__file__)
    ] == []


def test_what_is_slow_says_why() -> None:
    without = re.compile(r"\bmark\.slow\b(?!\(\s*\")")
    assert [name(path) for path in modules(TESTS) if without.search(path.read_text())] == []


def test_python_never_looks_into_the_current_directory() -> None:
    """Root may start Abaca in a folder of somebody else's: `-P` keeps what lies there out."""
    bare = re.compile(r'sys\.executable,\s*"(?!-P")')
    assert [name(path) for path in modules(SOURCE) if bare.search(path.read_text())] == []


def test_only_workflow_knows_the_engine() -> None:
    users = [
        path
        for path in modules(SOURCE)
        if any(full.partition(".")[0] == "dbos" for full in imported(tree(path)))
    ]
    assert [name(path) for path in users if not path.is_relative_to(SOURCE / "workflow")] == []


def test_migrations_are_one_chain() -> None:
    """Two that follow the same one would leave no schema to upgrade to; Alembic says which."""
    assert migrations.head() == migrations.revisions()[0]
