"""`python -m tests.tempest [--all] [--postgresql] [--details FILE] [MODULE …]`: start everything,
run tempest, say how it ended.

Without modules: the families about networks, and our own plug-in. A module is named as in
`families.py`, or in full.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tests.openstack import process
from tests.tempest import families
from tests.tempest.known import reason, unexpected
from tests.tempest.scene import scene
from tests.tempest.suite import Outcome, summary

SECONDS = 540
ALL_SECONDS = 3600


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.tempest", description=__doc__)
    parser.add_argument(
        "--all", action="store_true", help="every module about a feature that Abaca has"
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
    chosen, of_roles = families.default(), []
    if arguments.all:
        chosen, of_roles = chosen + families.others(), families.roles()
    if arguments.modules:
        chosen = [
            families.pattern(name) for name in arguments.modules if not families.is_of_roles(name)
        ]
        of_roles = [
            families.pattern(name) for name in arguments.modules if families.is_of_roles(name)
        ]
    seconds = ALL_SECONDS if arguments.all else SECONDS
    with scene(on_postgresql=arguments.postgresql) as play:
        runs = [
            (suite, patterns)
            for suite, patterns in ((play.suite, chosen), (play.roles, of_roles))
            if patterns
        ]
        outcomes = [
            outcome
            for suite, patterns in runs
            for outcome in suite.run(
                patterns, workers=arguments.workers, seconds=seconds, but=families.excluded()
            )
        ]
        said = "".join(suite.log() for suite, _ in runs)
    if arguments.details:
        arguments.details.write_text(
            "\n\n".join(
                f"{outcome.status} {outcome.seconds:.1f} {outcome.id}\n{outcome.detail}"
                for outcome in outcomes
            )
        )
    return tell(outcomes, said)


def tell(outcomes: list[Outcome], said: str) -> int:
    """Print the result; the exit status."""
    print(summary(outcomes, reason))
    surprises = unexpected(outcomes)
    for outcome in surprises:
        print(f"\n{outcome.id}\n{outcome.detail}")
    if not outcomes:
        print(said)
    return 1 if surprises or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
