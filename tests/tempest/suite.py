"""One run of tempest, in a folder of its own: what is selected, how it ended, test by test."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[2]
BINARIES = ROOT / ".venv-openstack" / "bin"
PLUGIN = Path(__file__).with_name("plugin")
DECODE_SECONDS = 120
STOP_SECONDS = 30
METADATA = "Metadata-Version: 2.1\nName: abaca-tempest-tests\nVersion: 1\n"
ENTRY_POINTS = (
    "[tempest.test_plugins]\nabaca_tests = abaca_tempest_tests.plugin:AbacaTempestPlugin\n"
)


@dataclass(frozen=True)
class Outcome:
    """How one test ended. `status`: success, skip, fail. `detail`: the reason or the traceback."""

    id: str
    status: str
    seconds: float
    detail: str

    @property
    def name(self) -> str:
        """Without the attributes in brackets."""
        return self.id.partition("[")[0]

    @property
    def whole_class(self) -> str | None:
        """The class whose tests were not run, for it could not begin, or was skipped."""
        found = re.fullmatch(r"setUpClass \((.+)\)", self.id)
        return found[1] if found else None


def spread(outcomes: Iterable[Outcome], listed: Iterable[str]) -> list[Outcome]:
    """With an outcome for each test of a class that could not begin or was skipped, in place of one
    for the class. `listed`: the ids of all tests."""
    listed = sorted(listed)
    told: list[Outcome] = []
    for outcome in outcomes:
        tests = [
            id_
            for id_ in listed
            if outcome.whole_class and id_.startswith(f"{outcome.whole_class}.")
        ]
        told += [replace(outcome, id=id_, seconds=0.0) for id_ in tests] or [outcome]
    return told


class Suite:
    """tempest with the plug-ins, by the tempest.conf given, below `folder`."""

    def __init__(self, folder: Path, configuration: str) -> None:
        self._folder = folder
        self._configuration = folder / "tempest.conf"
        self._configuration.write_text(configuration)
        # an installed package, as far as its finders can tell
        described = folder / "plug-ins" / "abaca_tempest_tests-1.dist-info"
        described.mkdir(parents=True)
        (described / "METADATA").write_text(METADATA)
        (described / "entry_points.txt").write_text(ENTRY_POINTS)
        self._environment = {
            "PATH": f"{BINARIES}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONPATH": f"{described.parent}:{PLUGIN}",
            "PYTHON": str(BINARIES / "python"),
        }

    def run(
        self, patterns: Sequence[str], *, workers: int, seconds: float, but: Sequence[str] = ()
    ) -> list[Outcome]:
        """Run what matches `patterns` and not `but`, for so many seconds at most; a test that was
        cut off is `inprogress`, those behind it are missing. Of a class that could not begin, each
        test has failed; of one that was skipped, each was."""
        command = [*self._selected(patterns, but), "--subunit", "--concurrency", str(workers)]
        with (
            open(self._folder / "subunit", "wb") as stream,
            open(self._folder / "run.log", "wb") as log,
        ):
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=log,
                start_new_session=True,
            )
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                log.write(f"not done within {seconds:g} s\n".encode())
            finally:
                _end(process)
        told = self._outcomes()
        listed = {outcome.id for outcome in told if outcome.status == "exists"}
        return spread((outcome for outcome in told if outcome.status != "exists"), listed)

    def _selected(self, patterns: Sequence[str], but: Sequence[str]) -> list[str]:
        command = [str(BINARIES / "tempest"), "run", "--config-file", str(self._configuration)]
        for option, expressions in (("include", patterns), ("exclude", but)):
            path = self._folder / option
            path.write_text("".join(f"{expression}\n" for expression in expressions))
            command += [f"--{option}-list", str(path)] if expressions else []
        return command

    def _outcomes(self) -> list[Outcome]:
        """Of all tests: those that are selected are `exists` first."""
        with open(self._folder / "subunit", "rb") as stream:
            program = [str(BINARIES / "python"), str(Path(__file__).with_name("outcomes.py"))]
            done = subprocess.run(
                program,
                stdin=stream,
                capture_output=True,
                text=True,
                timeout=DECODE_SECONDS,
                check=True,
            )
        return [Outcome(**outcome) for outcome in json.loads(done.stdout)]

    def log(self) -> str:
        """What tempest said beside its results."""
        return (self._folder / "run.log").read_text()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End tempest and its workers, which are a session of their own, if they still run."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)


def merged(runs: Iterable[Iterable[Outcome]]) -> list[Outcome]:
    """Each test once, of several runs: the first outcome of those that say most. A failure says
    more than success, and that more than a skip."""
    told: dict[str, Outcome] = {}
    weight = {"skip": 0, "success": 1}
    for outcome in chain.from_iterable(runs):
        before = told.setdefault(outcome.name, outcome)
        if weight.get(outcome.status, 2) > weight.get(before.status, 2):
            told[outcome.name] = outcome
    return list(told.values())


def summary(outcomes: Iterable[Outcome], why: Callable[[str], str | None]) -> str:
    """Counts, the reasons for which tests were skipped, and the names of those that failed. `why`:
    the reason why a test is expected to."""
    outcomes = list(outcomes)
    counts = Counter(outcome.status for outcome in outcomes)
    skipped = Counter(
        outcome.detail.splitlines()[0] for outcome in outcomes if outcome.status == "skip"
    )
    failed = [outcome for outcome in outcomes if outcome.status not in ("success", "skip")]
    lines = [f"{counts['success']} passed, {counts['skip']} skipped, {len(failed)} failed"]
    lines += [f"  skipped {number:4}: {reason}" for reason, number in skipped.most_common()]
    expected = Counter(why(outcome.name) for outcome in failed)
    lines += [
        f"  failed as expected {number:4}: {reason}"
        for reason, number in expected.most_common()
        if reason
    ]
    lines += [f"  FAILED: {outcome.name}" for outcome in failed if why(outcome.name) is None]
    return "\n".join(lines)
