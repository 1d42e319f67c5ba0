"""Ending processes that somebody else started: each of them surely, and nobody else. As root, in a
process id namespace of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from abaca.drivers.linux import control_groups, inventory, namespaces, processes
from abaca.drivers.linux.file_services.nfs.cell import confinement
from tests.stack import wait_for

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a namespace"),
]

# As soon as the first process has ended by itself, another one gets its number.
REUSED = """
import os, signal, subprocess, sys, threading
from pathlib import Path
from abaca.drivers.linux import processes

LAST = Path("/proc/sys/kernel/ns_last_pid")
first = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
others = []

def take_the_number():
    first.wait()
    for _ in range(20):
        LAST.write_text(str(first.pid - 1))
        waiting = "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"
        other = subprocess.Popen([sys.executable, "-c", waiting])
        others.append(other)
        if other.pid == first.pid:
            return
        other.kill()

thread = threading.Thread(target=take_the_number)
thread.start()
processes.end([first.pid], 3)
thread.join()
print(others[-1].pid == first.pid, others[-1].poll())
for other in others:
    other.kill()
"""
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', "
    "flush=True); signal.pause()"
)


def test_whoever_gets_the_number_of_one_that_has_ended_is_not_killed() -> None:
    command = [
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        sys.executable,
        "-c",
        REUSED,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.split() == ["True", "None"], done.stderr


def test_one_that_does_not_end_when_asked_is_killed_and_one_that_is_gone_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True
    ) as stubborn:
        assert stubborn.stdout is not None and stubborn.stdout.readline() == "ready\n"
        gone = subprocess.Popen(["true"])
        gone.wait()
        processes.end([stubborn.pid, gone.pid], 0.2)
        assert stubborn.wait() == -signal.SIGKILL


def test_one_that_has_ended_and_that_nobody_reaps_is_not_waited_for() -> None:
    """Its parent is this test, which does not."""
    ended = subprocess.Popen(["true"])
    wait_for(lambda: os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    processes.end([ended.pid], 600)
    assert ended.wait() == 0


def test_a_process_may_call_itself_whatever_it_likes() -> None:
    """What has taken over an NFS server chooses its name: bytes that are no text, and what looks
    like a state."""
    hostile = (
        "open('/proc/self/comm', 'wb').write(b'\\xff\\xfe) R 1'); import signal; signal.pause()"
    )
    process = subprocess.Popen([sys.executable, "-c", hostile])
    try:
        wait_for(lambda: b"\xff" in Path(f"/proc/{process.pid}/comm").read_bytes())
        wait_for(lambda: processes.is_idle(process.pid))
        assert str(confinement.gap(process.pid)).startswith("CapPrm is ")
    finally:
        process.kill()
        process.wait()


def take_away(installation: str, state_dir: Path) -> None:
    for step in inventory.serving_steps(installation, state_dir):
        step.remove()


def test_a_server_that_names_itself_otherwise_ends_with_its_installation(tmp_path: Path) -> None:
    installation = f"t{uuid.uuid4().hex[:8]}"
    network = namespaces.path_of(f"{installation}.server")
    namespaces.ensure(network.name, {})
    cell = ["unshare", "--pid", "--fork", "sleep", "600"]
    with subprocess.Popen(["nsenter", f"--net={network}", *cell]) as server:
        try:
            wait_for(lambda: processes.in_cells(network))
            assert inventory.leftovers(installation, tmp_path)["processes"]
            take_away(installation, tmp_path)
            assert server.wait(60) != 0
        finally:
            server.kill()
            processes.end(processes.in_cells(network), 0)
            namespaces.remove(network.name)


def test_a_process_ends_with_the_control_group_of_its_installation(tmp_path: Path) -> None:
    installation, other = f"t{uuid.uuid4().hex[:8]}", f"t{uuid.uuid4().hex[:8]}"
    limits = {control_groups.MEMORY: 1 << 28, control_groups.TASKS: 10}
    with subprocess.Popen(["sleep", "600"]) as ours, subprocess.Popen(["sleep", "600"]) as theirs:
        try:
            for name, process in ((installation, ours), (other, theirs)):
                joined = control_groups.ensure(f"{name}.copy-one", limits)
                if not joined:
                    pytest.skip("this machine has no control groups that may be written")
                for file in joined:
                    Path(file).write_text(str(process.pid))
            take_away(installation, tmp_path)
            assert ours.wait(60) == -signal.SIGKILL and theirs.poll() is None
            assert f"{installation}.copy-one" not in control_groups.names()
        finally:
            for name, process in ((installation, ours), (other, theirs)):
                process.kill()
                control_groups.kill(f"{name}.copy-one")
                control_groups.remove(f"{name}.copy-one")
