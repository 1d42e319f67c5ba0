"""`python -m tests.crash [--seed N] [--minutes M] [--form fake|linux|ceph]`: random operations
under random kills, and a report of them."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
from pathlib import Path

from tests import ceph_cluster
from tests.contracts.drivers.linux_backend import unavailable_reason
from tests.crash.campaign import Campaign
from tests.crash.site import FORMS, Site, site


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument(
        "--seed",
        type=int,
        default=random.randrange(10**6),
        help="the same seed draws the same decisions (default: any)",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="how long operations and kills go on (default: 10)",
    )
    parser.add_argument(
        "--form",
        choices=sorted(FORMS),
        default="fake",
        help="the back end (default: fake; the others need root, ceph a Ceph)",
    )
    parser.add_argument("--log", type=Path, help="keep what the processes said in this file")
    arguments = parser.parse_args()
    if arguments.form != "fake" and (reason := unavailable_reason()):
        parser.error(reason)
    if arguments.form == "ceph" and (reason := ceph_cluster.unavailable_reason()):
        parser.error(reason)
    # as an exception: all that runs is ended first
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    print(f"{arguments.form}, seed {arguments.seed}", flush=True)

    def keep_log(made: Site) -> None:
        if arguments.log:
            shutil.copy(made.log, arguments.log)

    with site(arguments.form, arguments.seed, keep_log) as made:
        report = Campaign(made, arguments.seed, lambda line: print(line, flush=True)).run(
            arguments.minutes * 60
        )
    print(report)
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
