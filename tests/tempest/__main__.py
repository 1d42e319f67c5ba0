"""`python -m tests.tempest [--all] [--only RUN] [--postgresql] [--details FILE] [MODULE …]`: start
everything, run tempest, say how it ended.

Without modules: the families about networks and our own plug-in, with share servers; some tests
without; some of roles. A module is named as in `families.py`, or in full, and is run in every cloud
in which it can begin.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.openstack import process
from tests.openstack.keystone import make_template
from tests.tempest import families
from tests.tempest.known import reason, unexpected
from tests.tempest.scene import Ended, played
from tests.tempest.suite import merged, summary

SECONDS = 3 * 3600


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tempest", description=__doc__)
    parser.add_argument(
        "--all", action="store_true", help="every module about a feature that Abaca has"
    )
    parser.add_argument(
        "--only",
        choices=[run.name for run in families.RUNS],
        help="with share servers (networks), without (plain), or the tests of roles (roles)",
    )
    parser.add_argument(
        "--postgresql",
        action="store_true",
        help="Abaca's database is a PostgreSQL (default: SQLite)",
    )
    parser.add_argument("--workers", type=int, default=2, help="test processes (default: 2)")
    parser.add_argument(
        "--details", type=Path, help="write how each test ended, with tracebacks, to this file"
    )
    parser.add_argument("modules", nargs="*", help="run these modules")
    arguments = parser.parse_args()
    lack = process.missing()
    if lack:
        parser.error(lack)
    # as an exception: all that runs is ended first
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    wanted = families.everything() if arguments.all else families.default()
    if arguments.modules:
        wanted = families.chosen(arguments.modules)
    wanted = [selection for selection in wanted if arguments.only in (None, selection.run.name)]
    ended: list[Ended] = []
    with tempfile.TemporaryDirectory(prefix="abaca-tempest-") as folder:
        for run in played(
            wanted,
            workers=arguments.workers,
            seconds=SECONDS,
            keystone_template=make_template(Path(folder) / "template"),
            on_postgresql=arguments.postgresql,
        ):
            print(f"{run.name}: {summary(run.outcomes, reason)}", flush=True)
            ended.append(run)
            if arguments.details:
                write_details(arguments.details, ended)
    return tell(ended)


def write_details(path: Path, ended: list[Ended]) -> None:
    path.write_text(
        "\n\n".join(
            f"{run.name}: {outcome.status} {outcome.seconds:.1f} {outcome.id}\n{outcome.detail}"
            for run in ended
            for outcome in run.outcomes
        )
    )


def tell(ended: list[Ended]) -> int:
    """Print what there is to say of all runs; the exit status."""
    if len(ended) > 1:
        print(f"together: {summary(merged(run.outcomes for run in ended), reason)}")
    surprises = unexpected(outcome for run in ended for outcome in run.outcomes)
    for outcome in surprises:
        print(f"\n{outcome.id}\n{outcome.detail}")
    idle = [run for run in ended if not run.outcomes]
    for run in idle:
        print(f"{run.name} has run nothing: {run.said}")
    return 1 if surprises or idle or not ended else 0


if __name__ == "__main__":
    sys.exit(main())
