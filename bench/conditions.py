"""Under which conditions something was measured: the machine, what else kept it busy, and what our
own processes used."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil

_TICK = os.sysconf("SC_CLK_TCK")
_pause = threading.Event()


class Usage(NamedTuple):
    """Seconds of CPU that a process and its children, also ended ones, have used, and their
    resident memory in MB."""

    cpu: float
    rss: float


def machine() -> str:
    """One line about where this ran."""
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 2**30
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cores} cores ({_processor()}), {memory:.0f} "
        f"GiB, Python {platform.python_version()}"
    )


def usage(pids: Iterable[int], *, children: bool = True) -> Usage:
    """What these processes have used; with all that descend from them."""
    cpu = rss = 0.0
    for process in _with_children(pids) if children else [psutil.Process(pid) for pid in pids]:
        try:
            times = process.cpu_times()
            cpu += (
                times.user
                + times.system
                + (times.children_user + times.children_system if children else 0.0)
            )
            rss += process.memory_info().rss / 1e6
        except psutil.NoSuchProcess:
            continue
    return Usage(cpu, rss)


def members(pid: int) -> list[tuple[str, Usage]]:
    """A process and its descendants one by one, by name."""
    return [
        (process.name(), usage([process.pid], children=False)) for process in _with_children([pid])
    ]


class ForeignLoad:
    """How many cores what is not ours kept busy, on average, since it was made."""

    def __init__(self) -> None:
        self._busy, self._elapsed = _busy()
        self._own = usage([os.getpid()]).cpu

    def cores(self) -> float:
        busy, elapsed = _busy()
        own = usage([os.getpid()]).cpu
        return max(
            0.0, (busy - self._busy - (own - self._own)) / max(elapsed - self._elapsed, 0.01)
        )


def foreign_load(seconds: float = 2.0) -> float:
    """Cores kept busy by others, looked at for so long while we rest."""
    load = ForeignLoad()
    _pause.wait(seconds)
    return load.cores()


def wait(seconds: float) -> None:
    """Let time pass."""
    _pause.wait(seconds)


def _busy() -> tuple[float, float]:
    """Seconds that all cores together were busy since the machine started, and seconds gone by."""
    fields = [
        int(text)
        for text in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    ]
    idle = fields[3] + fields[4]
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return (sum(fields[:8]) - idle) / _TICK, uptime


def _with_children(pids: Iterable[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            found += [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
