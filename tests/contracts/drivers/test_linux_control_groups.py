"""Control groups of version 2, where a hierarchy of that version has a controller left.

Machines with systemd's hybrid layout have `memory` and `pids` in version 1, and what these limit
cannot be seen there in version 2. What Abaca does can: another controller stands in for them, and
is enabled, limited, joined and taken away.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from abaca.drivers.linux import control_groups, mounts
from abaca.drivers.linux.control_groups import MEMORY, TASKS, ControlGroups

pytestmark = pytest.mark.root

MIB = 1024**2
STAND_IN, ITS_FILE = "hugetlb", "hugetlb.2MB.max"


@pytest.fixture
def unified() -> Path:
    """Where the hierarchy of version 2 is."""
    points = [
        mount.point
        for mount in mounts.mounts_below(control_groups.MOUNTED)
        if mount.filesystem == "cgroup2"
    ]
    if not points:
        pytest.skip("no control groups of version 2 are mounted below /sys/fs/cgroup")
    return points[0]


@pytest.fixture
def folder(unified: Path) -> Iterator[str]:
    """The name of one of this test's own."""
    name = f"t{uuid.uuid4().hex[:8]}"
    yield name
    for mount in mounts.mounts_below(control_groups.MOUNTED):
        with suppress(OSError):
            (mount.point / name).rmdir()


def test_a_group_is_made_joined_changed_and_taken_away(unified: Path, folder: str) -> None:
    controllers, files = (
        set((unified / "cgroup.controllers").read_text().split()),
        {MEMORY: "memory.max", TASKS: "pids.max"},
    )
    if not files.keys() <= controllers:
        if STAND_IN not in controllers:
            pytest.skip(f"neither {MEMORY} and {TASKS} nor {STAND_IN} are in version 2")
        files = {STAND_IN: ITS_FILE}
    groups, name = ControlGroups(folder, files, {}), "one.two"
    limits = {
        controller: limit
        for controller, limit in {MEMORY: 64 * MIB, TASKS: 10, STAND_IN: 4 * MIB}.items()
        if controller in files
    }
    (joining,) = groups.ensure(name, limits)
    assert joining == str(unified / folder / name / "cgroup.procs")
    with subprocess.Popen(["sleep", "600"]) as child:
        try:
            Path(joining).write_text(str(child.pid))
            assert groups.limits_of(child.pid) == limits
            more = {controller: 2 * limit for controller, limit in limits.items()}
            assert groups.ensure(name, more) == [joining]
            assert groups.limits_of(child.pid) == more
            assert groups.names() == [name]
        finally:
            child.kill()
        groups.remove(name)
    assert groups.names() == []


def test_a_hierarchy_without_the_controllers_is_passed_over(unified: Path, folder: str) -> None:
    groups = ControlGroups(folder, {"nothing": "nothing.max"}, {})
    assert groups.ensure("one.two", {"nothing": 1}) == []
    assert not (unified / folder).exists()
    groups.remove("one.two")
