"""Every module of manila-tempest-plugin and of our plug-in is run, or named with its reason; what a
class's failure hides is counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tempest import families
from tests.tempest.known import EXPECTED
from tests.tempest.suite import BINARIES, PLUGIN, Outcome, merged, spread

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
    named = families.excluded()
    named += [pattern for selection in families.everything() for pattern in selection.patterns]
    assert [module for module in every if not matching(named, module)] == []


def test_every_entry_names_something_that_is_there(every: list[str]) -> None:
    patterns = [pattern for selection in families.default() for pattern in selection.patterns]
    patterns += families.excluded()
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


def test_a_module_is_run_wherever_it_can_begin() -> None:
    ours = f"{families.OURS}.tests.test_removals"
    roles = f"{families.PACKAGE}.rbac.test_shares"
    assert [
        (selection.run.name, selection.patterns)
        for selection in families.chosen(["test_rules*", ours, roles])
    ] == [
        ("networks", (families.pattern("test_rules*"), families.pattern(ours))),
        ("plain", (families.pattern("test_rules*"),)),
        ("roles", (families.pattern(roles),)),
    ]


def test_of_several_runs_a_test_counts_once() -> None:
    def outcome(name: str, status: str, detail: str) -> Outcome:
        return Outcome(f"a.B.{name}[id-1]", status, 1.0, detail)

    assert [
        (each.name, each.status, each.detail)
        for each in merged(
            [
                [outcome("test_1", "skip", "x"), outcome("test_2", "success", "x")],
                [outcome("test_1", "success", "y"), outcome("test_2", "fail", "y")],
                [outcome("test_3", "skip", "y"), outcome("test_1", "skip", "z")],
                [outcome("test_3", "skip", "z")],
            ]
        )
    ] == [
        ("a.B.test_1", "success", "y"),
        ("a.B.test_2", "fail", "y"),
        ("a.B.test_3", "skip", "y"),
    ]


def test_a_class_that_cannot_begin_or_is_skipped_counts_each_of_its_tests() -> None:
    lost = Outcome("setUpClass (a.B)", "fail", 3.0, "no such route")
    skipped = Outcome("setUpClass (a.C)", "skip", 0.0, "no snapshots")
    passed = Outcome("a.D.test_1[id-3]", "success", 1.0, "")
    listed = [
        "a.B.test_1[id-1]",
        "a.B.test_2[id-2]",
        "a.Bb.test_1",
        "a.C.test_1",
        "a.D.test_1[id-3]",
    ]
    assert spread([lost, skipped, passed], listed) == [
        Outcome("a.B.test_1[id-1]", "fail", 0.0, "no such route"),
        Outcome("a.B.test_2[id-2]", "fail", 0.0, "no such route"),
        Outcome("a.C.test_1", "skip", 0.0, "no snapshots"),
        passed,
    ]
    assert spread([lost], []) == [lost]


def test_what_is_expected_to_fail_is_one_test_each() -> None:
    assert [name for name in EXPECTED if not re.fullmatch(r"[\w.]+\.\w+\.test_\w+", name)] == []
