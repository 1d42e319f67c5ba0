"""What the tests of the specification are worth: the code is broken on purpose, one thing at a
time, and the tests must notice.

    python -m tests.breakages [ROW …]        all, or those of some requirements: C7 D3, or with some
    words: "reason is not"

The table is `breakages.toml`: for each requirement what is broken and how, and the tests that have
to fail, each by what it asserts. Everything happens in copies of the tree, in which the same tests
pass while nothing is broken; the tree itself is never changed.
"""

from __future__ import annotations

import ast
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_suffix(".toml")
LONGEST_RUN_SECONDS = 900

# How a test may end to have noticed: by what it asserts, by an answer of Abaca or of the database
# that it did not expect, by none at all.
GOOD = ("passed", "skipped")
NOTICED = re.compile(
    r"assert |AssertionError|Failed: "
    r"(?!Timeout)|IndexError|abaca\.|sqlalchemy\.exc\.(IntegrityError|OperationalError)"
)
# What a breakage must not be: code that does not work at all. Work in the background shows that in
# its log only.
SLIP = re.compile(
    r"^(?:NameError|AttributeError|TypeError|ImportError|ModuleNotFoundError|UnboundLocalError)\b.*",
    re.MULTILINE,
)


class Breakage(NamedTuple):
    """In `symbol`, or in `file`, `text` becomes `instead`; then each of `tests` has to fail.

    `symbol`: the function, method or module variable of the source that has `text` exactly once, by
    its qualified name; with its module's name before it (`share_creation:create`) where others are
    called the same. White space does not count, so neither a file that moves nor a formatter
    changes what is found. `file`: for what is not Python.
    """

    row: str
    what: str
    text: str
    instead: str
    tests: list[str]
    symbol: str = ""
    file: str = ""
    databases: str = "sqlite"


class Place(NamedTuple):
    """Where a breakage is: characters `start` to `end` of a file."""

    file: Path
    start: int
    end: int


class Ending(NamedTuple):
    """How a test ended: `passed`, `skipped`, `failed` (by what it asserts) or `crashed`
    (otherwise); and what it said."""

    outcome: str
    said: str


class NotApplicable(Exception):
    """The text is not there exactly once, or the code would not be Python any more."""


def table() -> list[Breakage]:
    """Every breakage, in the order of the file."""
    return [Breakage(**entry) for entry in tomllib.loads(TABLE.read_text())["breakage"]]


def broken(breakage: Breakage, root: Path) -> tuple[Path, str]:
    """The file that changes, and its text with the breakage in it. Raises NotApplicable."""
    file, start, end = _find(breakage, root)
    text = file.read_text()
    changed = text[:start] + breakage.instead.strip() + text[end:]
    try:
        ast.parse(changed if file.suffix == ".py" else "")
    except SyntaxError as error:
        raise NotApplicable(f"{file} would not be Python: {error}") from None
    return file, changed


def _however_formatted(word: str) -> str:
    """A pattern: the formatter puts commas before brackets that close on lines of their own."""
    return rf"(?:,\s*)?{re.escape(word)}" if word in ")]}" else re.escape(word)


def _find(breakage: Breakage, root: Path) -> Place:
    words = re.findall(r"\w+|[^\w\s]", breakage.text)
    wanted = re.compile(r"\s*".join(map(_however_formatted, words)))
    found = [
        Place(place.file, *match.span())
        for place in _places(breakage, root)
        for match in wanted.finditer(_read(place.file), place.start, place.end)
    ]
    if len(found) != 1:
        raise NotApplicable(f"{breakage.symbol or breakage.file} has its text {len(found)} times")
    return found[0]


def _places(breakage: Breakage, root: Path) -> list[Place]:
    if breakage.file:
        return [Place(root / breakage.file, 0, len(_read(root / breakage.file)))]
    module, _, name = breakage.symbol.rpartition(":")
    return [
        place for place in _symbols(root / "src").get(name, []) if module in ("", place.file.stem)
    ]


@cache
def _symbols(folder: Path) -> dict[str, list[Place]]:
    """Qualified name → where functions, methods and module variables of that name are, decorators
    included."""
    found: dict[str, list[Place]] = {}
    for file in sorted(folder.rglob("*.py")):
        text = _read(file)
        starts = [0, *itertools.accumulate(len(line) for line in text.splitlines(keepends=True))]
        for name, first, last in _named(ast.parse(text).body):
            found.setdefault(name, []).append(Place(file, starts[first - 1], starts[last]))
    return found


def _named(body: Sequence[ast.stmt], prefix: str = "") -> Iterator[tuple[str, int, int]]:
    """Qualified name, first and last line of each definition and assignment; of classes what is in
    them, too."""
    for node in body:
        last = node.end_lineno or node.lineno
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield (
                f"{prefix}{node.name}",
                min([node, *node.decorator_list], key=lambda n: n.lineno).lineno,
                last,
            )
            if isinstance(node, ast.ClassDef):
                yield from _named(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield f"{prefix}{ast.unparse(target)}", node.lineno, last


@cache
def _read(file: Path) -> str:
    return file.read_text()


def run(tree: Path, tests: Sequence[str], databases: str) -> dict[str, list[Ending]]:
    """Run tests of a copy of the tree, with its source: test → the endings of all its
    parameters."""
    report = tree / "report.xml"
    report.unlink(missing_ok=True)
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "junit_logging=log",
        f"--junitxml={report}",
        f"--databases={databases}",
    ]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=_environment(tree),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(LONGEST_RUN_SECONDS)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # the tests take away what they made on this machine
            process.wait(60)
    endings: dict[str, list[Ending]] = {test: [] for test in tests}
    for case in ElementTree.parse(report).iter("testcase") if report.exists() else []:
        name = f"{case.get('classname')}.{case.get('name', '').partition('[')[0]}"
        for test in tests:
            dotted = test.replace(".py::", ".").replace("::", ".").replace("/", ".")
            if name == dotted or name.startswith(f"{dotted}."):
                endings[test].append(_ending(case))
    return endings


def _ending(case: ElementTree.Element) -> Ending:
    if (skipped := case.find("skipped")) is not None:
        return Ending("skipped", skipped.get("message", ""))
    if (error := case.find("error")) is not None:
        return Ending("crashed", f"beside the test: {error.get('message', '')}")
    if (failure := case.find("failure")) is None:
        return Ending("passed", "")
    said = failure.get("message", "")
    slip = SLIP.search(case.findtext("system-out", ""))
    return Ending(
        "failed" if NOTICED.match(said) and not slip else "crashed", slip.group() if slip else said
    )


def verdict(endings: dict[str, list[Ending]]) -> Ending:
    """`seen to fail` when every test has failed by what it asserts; otherwise what is to be said of
    the first that has not."""
    said = ""
    for test, found in endings.items():
        failed = [ending for ending in found if ending.outcome == "failed"]
        crashed = [ending for ending in found if ending.outcome == "crashed"]
        if crashed or not found:
            return Ending(
                "FAILED OTHERWISE", f"{test}: {crashed[0].said if crashed else 'did not run'}"
            )
        if not failed:
            skipped = found[0].outcome == "skipped"
            return Ending(
                "not tried" if skipped else "SURVIVED",
                f"{test}{f': {found[0].said}' if skipped else ''}",
            )
        said = said or failed[0].said
    return Ending("seen to fail", said)


def attempt(breakage: Breakage, whole: Path, folder: Path) -> Ending:
    """Break a copy of the tree and run the tests in it."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        tree = _copy(whole, Path(place, "tree"))
        try:
            file, text = broken(breakage, tree)
            file.write_text(text)
        except NotApplicable as error:
            return Ending("DOES NOT APPLY", str(error))
        return verdict(run(tree, breakage.tests, breakage.databases))


def _copy(tree: Path, place: Path) -> Path:
    return Path(shutil.copytree(tree, place, ignore=shutil.ignore_patterns(".*")))


def _environment(tree: Path) -> dict[str, str]:
    """The copy's source comes before an editable installation's; so it does in the processes that
    tests start."""
    return os.environ | {"PYTHONPATH": str(tree / "src")}


def _require_own_source(tree: Path) -> None:
    command = [sys.executable, "-c", "import abaca; print(abaca.__file__)"]
    found = subprocess.run(
        command, cwd=tree, env=_environment(tree), capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(found).is_relative_to(tree):
        raise SystemExit(f"the copy would be tested with the source in {found}")


def _require_unbroken(tree: Path, chosen: list[Breakage]) -> None:
    for databases in sorted({breakage.databases for breakage in chosen}):
        tests = sorted(
            {
                test
                for breakage in chosen
                if breakage.databases == databases
                for test in breakage.tests
            }
        )
        endings = run(tree, tests, databases)
        bad = [
            f"{test}: {[e for e in found if e.outcome not in GOOD] or 'did not run'}"
            for test, found in endings.items()
            if not found or any(e.outcome not in GOOD for e in found)
        ]
        if bad:
            raise SystemExit("these tests fail although nothing is broken:\n" + "\n".join(bad))


def main(arguments: Sequence[str]) -> int:
    """0 when everything that was tried was noticed."""
    chosen = [
        each
        for each in table()
        if not arguments or each.row in arguments or any(words in each.what for words in arguments)
    ]
    if not chosen:
        raise SystemExit(f"no such breakage: {', '.join(arguments)}")
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="abaca-breakages-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        whole = _copy(ROOT, folder / "whole")  # once: the tree may be worked on meanwhile
        _require_own_source(whole)
        _require_unbroken(whole, chosen)
        for breakage in chosen:
            began = time.monotonic()
            outcome, said = attempt(breakage, whole, folder)
            counts[outcome] = counts.get(outcome, 0) + 1
            first_line = (said.splitlines() or [""])[0]
            print(
                f"{breakage.row:3} {outcome}: {breakage.what} ({time.monotonic() - began:.0f} "
                f"s)\n      {first_line[:150]}",
                flush=True,
            )
    print(", ".join(f"{outcome}: {count}" for outcome, count in sorted(counts.items())))
    return 0 if counts.keys() <= {"seen to fail", "not tried"} else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the copies go, too
    sys.exit(main(sys.argv[1:]))
