"""How a run of all tests treats what fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run import MOST

pytestmark = pytest.mark.slow("runs of pytest")

ROOT = Path(__file__).parents[2]
UNSTEADY = """
from pathlib import Path
def test_unsteady():
    seen = Path(__file__).with_name("seen")
    was_seen = seen.exists()
    seen.touch()
    assert was_seen
"""
PLAY = """
from pathlib import Path
import pytest
pytestmark = pytest.mark.play
made = []
def test_make():
    made.append(1)
def test_use():
    seen = Path(__file__).with_name("seen")
    was_seen = seen.exists()
    seen.touch()
    assert made and was_seen
"""
STEADY = "def test_steady():\n    pass\n"
BROKEN = "def test_broken():\n    assert False\n"


def run(folder: Path, text: str) -> tuple[int, str]:
    (folder / "test_it.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = play\n")
    command = [sys.executable, "-m", "tests.run", "test_it.py"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )
    return done.returncode, done.stdout


def test_what_fails_once_runs_again_and_is_named(tmp_path: Path) -> None:
    status, said = run(tmp_path, UNSTEADY + STEADY)
    assert status == 0
    assert (
        said.splitlines()[-1].startswith("UNSTEADY ") and "::test_unsteady" in said.splitlines()[-1]
    )
    assert said.count("UNSTEADY") == 1


def test_a_play_runs_again_from_its_beginning(tmp_path: Path) -> None:
    status, said = run(tmp_path, PLAY)
    assert status == 0
    assert said.splitlines()[-1].startswith("UNSTEADY ") and "::test_use" in said.splitlines()[-1]


@pytest.mark.parametrize(("text", "reruns"), [
    (UNSTEADY + BROKEN, True),
    ("import nothing_of_that_name\n", False),
    ("\n".join(BROKEN.replace("broken", f"broken_{number}") for number in range(MOST + 1)), False),
], ids=["fails again", "cannot be read", "too many"])  # fmt: skip
def test_what_stays_broken_fails_the_run(tmp_path: Path, text: str, reruns: bool) -> None:
    status, said = run(tmp_path, text)
    assert status != 0
    assert ("run once more, alone" in said) == reruns


def test_all_is_well(tmp_path: Path) -> None:
    assert run(tmp_path, STEADY)[0] == 0
