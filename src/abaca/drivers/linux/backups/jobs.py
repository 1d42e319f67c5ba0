"""Work on the repository of a share that goes on beside the worker, for hours, and past its end.

A job has a folder, below /run, with what is known of it; a lock on a file there is held as long as
it runs. All of its processes are in one control group, and end with the first of them.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from abaca.drivers.linux import control_groups, processes
from abaca.drivers.linux.backups.work import PROGRESS, RESULT, Order, Progress, Result
from abaca.drivers.linux.layout import Layout, private_folder
from abaca.drivers.linux.programs import remove_tree
from abaca.errors import OutcomeUnknown, Unavailable

MEMORY = 1 << 30
"""Bytes that a job may use: restic holds its index and a few packs in memory."""
TASKS = 128
START_SECONDS = 30.0
END_SECONDS = 10.0
_LOCK = "lock"


class State(NamedTuple):
    """`result`: None while it runs."""

    progress: Progress
    result: Result | None


class Job:
    """`name`: what it works on; one job has it at a time."""

    def __init__(self, layout: Layout, name: str) -> None:
        self._folder = layout.backup_jobs / name
        self._group = f"{layout.namespace}.{name}"

    def carry_on(self, begin: Callable[[], Order], seconds: float) -> State:
        """Start it with what `begin()` says, unless it runs or has ended, and wait for its end for
        so many seconds. Raises OutcomeUnknown when it was killed: it begins anew with the next
        call."""
        if not self._is_running() and self._result() is None:
            self.end()  # what is left of one that was killed
            self._start(begin())
        processes.wait_until(lambda: not self._is_running(), seconds)
        if self._is_running():
            return State(self._progress(), None)
        result = self._result()
        if result is None:
            raise OutcomeUnknown("the process that worked on the backup was killed; it starts over")
        return State(self._progress(), result)

    def end(self) -> None:
        """Kill it, and forget what it has done. Nothing there is success."""
        if not self._folder.exists():
            return
        running = processes.find(Path(sys.executable).name, str(self._folder))
        processes.end(running, 0)
        control_groups.kill(self._group)
        if not processes.wait_until(lambda: not self._is_running(), END_SECONDS):
            raise OutcomeUnknown("the process that works on the backup does not end")
        control_groups.remove(self._group)
        remove_tree(self._folder)

    def _start(self, order: Order) -> None:
        private_folder(self._folder)
        lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            limits = {control_groups.MEMORY: MEMORY, control_groups.TASKS: TASKS}
            groups = control_groups.ensure(self._group, limits)
            given = json.dumps(order._replace(lock=lock, groups=groups)._asdict())
            command = (sys.executable, "-P", "-m", "abaca.drivers.linux.backups.work")
            done = subprocess.run(
                (*command, str(self._folder)), input=given, text=True, pass_fds=(lock,),
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=START_SECONDS,
                check=False,
            )  # fmt: skip
        except (BlockingIOError, subprocess.TimeoutExpired) as error:
            raise OutcomeUnknown(f"work on a backup could not be started: {error}") from error
        finally:
            os.close(lock)
        if done.returncode != 0:
            raise Unavailable(f"work on a backup could not be started: {done.stderr[-500:]}")

    def _is_running(self) -> bool:
        try:
            lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def _result(self) -> Result | None:
        with suppress(FileNotFoundError):
            return Result(**json.loads((self._folder / RESULT).read_text()))
        return None

    def _progress(self) -> Progress:
        with suppress(FileNotFoundError):
            return Progress(**json.loads((self._folder / PROGRESS).read_text()))
        return Progress()
