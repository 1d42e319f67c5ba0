"""`make test`: run the tests side by side; a few that failed there are run once more, alone. Of a
play, whose tests build on one another, all are.

What fails alone fails the run, and so do more than `MOST` failures. What passes alone is named as
unsteady at the end: it is a fault, of a test or of the product, that the next change has to mend.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

MOST = 5
PLAY = "pytest.mark.play"
FAILED = 1  # pytest's exit code when tests have failed, and nothing worse happened


def pytest(cache: Path, *arguments: str) -> int:
    """Its exit code. The seed of the samples is in the environment, so both runs draw the same."""
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *arguments]
    return subprocess.run(command, check=False).returncode


def again(failed: Iterable[str]) -> list[str]:
    """What to run for these tests: a file marked as a play whole, of others the tests alone."""
    files = {test: test.partition("::")[0] for test in failed}
    return list(
        dict.fromkeys(
            file if PLAY in Path(file).read_text() else test for test, file in files.items()
        )
    )


def last_failed(cache: Path) -> list[str]:
    return list(json.loads((cache / "v/cache/lastfailed").read_text()))


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="abaca-pytest-") as folder:
        status = pytest(Path(folder, "beside"), *arguments)
        if status != FAILED:
            return status
        failed = last_failed(Path(folder, "beside"))
        if len(failed) > MOST:
            print(
                f"{len(failed)} tests failed: too many to run them once more (at most {MOST})",
                flush=True,
            )
            return status
        print(
            *["these failed beside others and run once more, alone:", *failed],
            sep="\n  ",
            flush=True,
        )
        status = pytest(Path(folder, "alone"), "-p", "no:xdist", "-rfEs", *again(failed))
        broken = set() if status == 0 else set(last_failed(Path(folder, "alone")))
        print(*[f"UNSTEADY {test}" for test in failed if test not in broken], sep="\n", flush=True)
        return status


if __name__ == "__main__":
    from tests import sample  # noqa: F401 - draws the seed, for both runs

    sys.exit(main(sys.argv[1:]))
