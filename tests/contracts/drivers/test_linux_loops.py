"""Loop devices are detached only while they are ours: their names are given anew at any time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from abaca.drivers.linux import loops

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]


def test_a_device_that_is_somebody_elses_by_now_is_left_alone(tmp_path: Path) -> None:
    image = tmp_path / "theirs" / "image"
    image.parent.mkdir()
    image.write_bytes(bytes(1 << 20))
    command = ["losetup", "--find", "--show", str(image)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    device, theirs, ours = Path(done.stdout.strip()), f"{image.parent}/", f"{tmp_path}/ours/"
    try:
        assert loops.attached([theirs]) == [device] and loops.attached([ours]) == []
        loops.detach(device, [ours])
        assert loops.attached([theirs]) == [device]
    finally:
        loops.detach(device, [theirs])
    loops.await_detached([theirs])
    assert loops.attached([theirs]) == []
    loops.detach(device, [theirs])  # nothing is attached to it any more
    loops.detach(tmp_path / "loop-nowhere", [theirs])
