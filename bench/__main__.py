"""`python -m bench [--quick] [--only …] [--databases …]` measures Abaca; `python -m bench peer
[--quick]` compares it with upstream Manila; `python -m bench reboot [--servers 50]` measures, as
root, how long the Linux back end needs to come back after a reboot; `python -m bench reverts
[--files 100 100000]`, as root, how long clients wait for a share that is reverted; `python -m bench
walls [--rounds 5]`, as root, what the walls around an NFS server cost; `python -m bench outage
[--rounds 5]`, as root, what clients wait for when their NFS server is killed; `python -m bench
pages [--quick]` measures what 100 open web pages cost others; `python -m bench hosts [--quick]
[--servers 50] [--rounds 5]`, as root, what it takes when a host dies whose share servers others
take over, and what CephFS and tunnels cost."""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType

from bench import hosts, outage, pages, peer, reboot, reverts, single, walls

GROUPS = ("reads", "creations", "additions", "footprint")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=("abaca", "peer", "reboot", "reverts", "walls", "outage", "pages", "hosts"),
        default="abaca",
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter runs: two minutes instead of twenty"
    )
    parser.add_argument(
        "--only", nargs="+", choices=GROUPS, default=GROUPS, help="what to measure (of Abaca alone)"
    )
    parser.add_argument(
        "--databases", nargs="+", choices=("sqlite", "postgresql"), default=("sqlite", "postgresql")
    )
    parser.add_argument(
        "--servers", type=int, default=50, help="share servers that are lost (reboot, hosts)"
    )
    parser.add_argument(
        "--files",
        nargs="+",
        type=int,
        default=(100, 10_000, 100_000),
        help="in the shares that are reverted (reverts)",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often each is measured (walls, outage, hosts)"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    if arguments.what == "peer":
        peer.run(quick=arguments.quick)
    elif arguments.what == "reboot":
        reboot.run(arguments.servers)
    elif arguments.what == "reverts":
        reverts.run(arguments.files)
    elif arguments.what == "walls":
        walls.run(arguments.rounds)
    elif arguments.what == "outage":
        outage.run(arguments.rounds)
    elif arguments.what == "pages":
        pages.run(arguments.databases, quick=arguments.quick)
    elif arguments.what == "hosts":
        hosts.run(arguments.servers, arguments.rounds, quick=arguments.quick)
    else:
        single.run(arguments.databases, arguments.only, quick=arguments.quick)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    sys.exit("interrupted")


if __name__ == "__main__":
    main()
