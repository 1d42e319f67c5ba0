"""`make attack`: every attack with full force, a table, and exit status 1 when a wall does not
hold. Arguments: names of attacks, or parts."""

from __future__ import annotations

import sys
import time

from tests.attack.registry import FULL, all_attacks
from tests.attack.table import Outcome, run


def main(wanted: list[str]) -> int:
    attacks = [
        attack
        for attack in all_attacks()
        if not wanted or any(part in attack.name for part in wanted)
    ]
    began, failed = time.monotonic(), []
    for outcome in run(attacks, FULL):
        if outcome.complaints(timed=True):
            failed.append(outcome.attack.name)
        show(outcome)
    print(
        f"{len(attacks)} attacks in {time.monotonic() - began:.0f} s; walls that do not hold: "
        f"{', '.join(failed) or 'none'}"
    )
    return 1 if failed else 0


def show(outcome: Outcome) -> None:
    complaints = outcome.complaints(timed=True)
    print(
        f"{'FAILED' if complaints else 'holds ':6}  {outcome.attack.name}: {outcome.seen.what} "
        f"({outcome.seconds:.0f} s)"
    )
    for server in outcome.during:
        print(f"        {server:9} before: {outcome.before[server]}")
        print(f"        {'':9} during: {outcome.during[server]}; after: {outcome.after[server]}")
    for complaint in complaints:
        print(f"        {complaint}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
