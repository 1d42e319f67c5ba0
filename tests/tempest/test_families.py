"""Every module of manila-tempest-plugin and of our plug-in is run, or named with its reason; what a
class's failure hides is counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tempest import families
from tests.tempest.known import EXPECTED
from tests.tempest.suite import BINARIES, PLUGIN, Outcome, spread

INSTALLED = next(iter((BINARIES.parent / "lib").glob("python3*/site-packages")), None)


def modules(root: Path, package: str) -> list[str]:
    """The full names of a package's modules of tests."""
    below = root.joinpath(*package.split("."))
    return sorted(
        ".".join(path.relative_to(root).with_suffix("").parts) for path in below.rglob("test_*.py")
    )


def matching(patterns: list[str], module: str) -> bool:
    return any(re.match(pattern, f"{module}.Class.test") for pattern in patterns)


@pytest.fixture(scope="module")
def every() -> list[str]:
    if INSTALLED is None:
        pytest.skip("manila-tempest-plugin is missing (make venv-openstack)")
    return modules(INSTALLED, families.PACKAGE) + modules(PLUGIN, families.OURS)


def test_every_module_is_run_or_named_with_its_reason(every: list[str]) -> None:
    run = families.default() + families.others() + families.roles()
    assert [
        module for module in every if matching(run, module) is matching(families.excluded(), module)
    ] == []


def test_every_entry_names_something_that_is_there(every: list[str]) -> None:
    patterns = families.default() + families.others() + families.roles() + families.excluded()
    sources = {
        module: (PLUGIN if module.startswith(families.OURS) else INSTALLED) for module in every
    }
    classes = [
        f"{module}.{name}.test"
        for module, root in sources.items()
        for name in re.findall(
            r"^class (\w+)",
            root.joinpath(*module.split(".")).with_suffix(".py").read_text(),  # type: ignore[union-attr]
            re.MULTILINE,
        )
    ]
    assert [
        pattern for pattern in patterns if not any(re.match(pattern, name) for name in classes)
    ] == []


def test_a_class_that_cannot_begin_counts_each_of_its_tests() -> None:
    lost = Outcome("setUpClass (a.B)", "fail", 3.0, "no such route")
    skipped = Outcome("setUpClass (a.C)", "skip", 0.0, "no snapshots")
    passed = Outcome("a.D.test_1[id-3]", "success", 1.0, "")
    listed = ["a.B.test_1[id-1]", "a.B.test_2[id-2]", "a.Bb.test_1", "a.D.test_1[id-3]"]
    assert spread([lost, skipped, passed], listed) == [
        Outcome("a.B.test_1[id-1]", "fail", 0.0, "no such route"),
        Outcome("a.B.test_2[id-2]", "fail", 0.0, "no such route"),
        skipped,
        passed,
    ]
    assert spread([lost], []) == [lost]


def test_what_is_expected_to_fail_is_one_test_each() -> None:
    assert [name for name in EXPECTED if not re.fullmatch(r"[\w.]+\.\w+\.test_\w+", name)] == []
