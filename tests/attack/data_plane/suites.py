"""Attacks that need machines, disks or programs of their own: tests of the suite, run while the
stage's honest clients are watched.

Two at a time, as the machines of this project have two cores, and much of it waits.
"""

from __future__ import annotations

import subprocess
import sys
import time

from tests.attack.data_plane.floods import lived
from tests.attack.data_stage import DataStage
from tests.attack.registry import Act, Force, Seen, attack

TESTS = "tests/contracts/drivers"
SECONDS = 240
NODES = {
    "NFSv3 and other programs": ["test_linux_refusals.py"],
    "names that fill a pool": [
        "test_linux_promises.py::test_a_share_full_of_what_has_no_data_takes_no_room_of_another"
    ],
    "tunnels from elsewhere": ["test_linux_spoofing_outside.py"],
    "a full disk below a pool": [
        "test_linux_image.py::test_a_full_disk_below_takes_nothing_from_a_pool"
    ],
    "snapshots that fill a pool": [
        "test_linux_promises.py::test_snapshots_of_one_tenant_take_no_room_of_another"
    ],
    "links of a pool's own": ["test_linux_pool_walls.py"],
    "a hostile program in the cell": [
        "test_linux_cell.py::test_a_hostile_program_in_ganeshas_place_finds_nothing"
    ],
}


def by_tests(*nodes: str) -> Act:
    def act(stage: DataStage, force: Force) -> Seen:
        pid, began = stage.ganesha(), time.monotonic()
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *(f"{TESTS}/{node}" for node in nodes),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        said = done.stdout.strip().splitlines()[-1:] or [done.stderr[-200:]]
        lived_on = lived(stage, pid, f"{said[0]} ({time.monotonic() - began:.0f} s)")
        return Seen(lived_on.holds and done.returncode == 0, lived_on.what)

    return act


for place, (name, nodes) in enumerate(NODES.items()):
    attack(name, is_in_suite=True, at_once=f"suites {place // 2}")(by_tests(*nodes))
