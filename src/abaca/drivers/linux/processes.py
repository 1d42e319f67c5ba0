"""Finding, ending and watching processes that outlive the worker.

By a path that only they have among their arguments, as long as they are to be believed. A program
that was taken over changes its arguments and its name as it likes; it stays in its namespaces.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import threading
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path

PROC = Path("/proc")
SHORTEST_WAIT = 0.005
LONGEST_WAIT = 0.1
FEW_FILES = 8
KILLED_SECONDS = 5.0


def find(program: str, argument: str) -> list[int]:
    """Processes of a program that have exactly this argument. Reads all of /proc."""
    return _matching(
        lambda arguments: _program(arguments) == program and argument.encode() in arguments
    )


def find_below(folder: Path, programs: Collection[str]) -> list[int]:
    """Processes of these programs with an argument that holds a path below `folder`. Reads all of
    /proc."""
    prefix = f"{folder}/".encode()
    return _matching(
        lambda arguments: (
            _program(arguments) in programs and any(prefix in argument for argument in arguments)
        )
    )


def by_pid_file(pid_file: Path, program: str) -> int | None:
    """The process that a pid file names, if it is of that program and was told this pid file (its
    number may be another process's by now)."""
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    arguments = _arguments(pid)
    return pid if _program(arguments) == program and bytes(pid_file) in arguments else None


def in_cells(*networks: Path) -> list[int]:
    """Processes in these network namespaces, name files, that are in another process namespace than
    the caller. Reads all of /proc."""
    own, places = _namespace(os.getpid(), "pid"), set()
    for network in networks:
        with suppress(FileNotFoundError):
            inside = os.stat(network)
            places.add((inside.st_dev, inside.st_ino))
    if not places:
        return []
    return [
        pid for pid in _all() if _namespace(pid, "net") in places and _namespace(pid, "pid") != own
    ]


def end(pids: list[int], patience: float) -> None:
    """Ask processes to end, wait `patience` seconds for them, then kill those that are left, and
    wait for that, too.

    Whoever gets the number of one that has ended meanwhile is left alone.
    """
    with ExitStack() as opened:
        held = []
        for pid in pids:
            with suppress(ProcessLookupError):
                held.append(os.pidfd_open(pid))
                opened.callback(os.close, held[-1])
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, KILLED_SECONDS)):
            for process in held:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(process, number)
            if _have_ended(held, seconds):
                return


def _have_ended(held: list[int], seconds: float) -> bool:
    """Whether all processes that these descriptors hold end within so many seconds. One that nobody
    has reaped yet has ended."""
    left, deadline = set(held), time.monotonic() + seconds
    waiting = select.poll()
    for process in held:
        waiting.register(process, select.POLLIN)
    while left:
        ready = waiting.poll(max(0, (deadline - time.monotonic()) * 1000))
        if not ready:
            return False
        for process, _ in ready:
            waiting.unregister(process)
            left.discard(process)
    return True


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll `condition` until it holds; False when it did not within `seconds`."""
    never, end, pause = threading.Event(), time.monotonic() + seconds, SHORTEST_WAIT
    while not condition():
        if time.monotonic() >= end:
            return False
        never.wait(pause)
        pause = min(pause * 1.5, LONGEST_WAIT)
    return True


def is_idle(pid: int) -> bool:
    """Whether no thread of a process runs, or waits for a disk. One that is gone is idle."""
    try:
        states = {_state(thread) for thread in _threads(pid)}
    except (FileNotFoundError, ProcessLookupError):
        return not (PROC / str(pid)).exists()
    return not {b"R", b"D"} & states


def listens(pid: int | None, port: int) -> bool:
    """Whether anything listens on a TCP port, on all addresses, in the network namespace of this
    process; without one, in that of the calling thread."""
    try:
        sockets = (
            (PROC / ("thread-self" if pid is None else str(pid)) / "net" / "tcp6")
            .read_text()
            .splitlines()
        )
    except (FileNotFoundError, OSError):
        return False
    return any(
        fields[1] == f"{'0' * 32}:{port:04X}" and fields[3] == "0A"
        for fields in (line.split() for line in sockets)
    )


def is_out_of_files(pid: int) -> bool:
    """Whether a process has opened all files that it may, but for a few."""
    try:
        most, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        left = most - len(os.listdir(PROC / str(pid) / "fd"))
    except (FileNotFoundError, ProcessLookupError):
        return False
    return left < max(FEW_FILES, most // 100)


def _state(process: Path) -> bytes:
    """Of a process or of one of its threads; its name, which is before, may be anything but
    text."""
    return (process / "stat").read_bytes().rpartition(b") ")[2][:1]


def _threads(pid: int) -> list[Path]:
    return list((PROC / str(pid) / "task").iterdir())


def _namespace(pid: int, kind: str) -> tuple[int, int] | None:
    """The device and inode of a process's namespace. When its main thread has ended, another one
    tells."""
    with suppress(OSError):  # it is gone, or more than the caller's
        for thread in chain([PROC / str(pid)], (PROC / str(pid) / "task").iterdir()):
            with suppress(FileNotFoundError, ProcessLookupError):
                found = os.stat(thread / "ns" / kind)
                return found.st_dev, found.st_ino
    return None


def _all() -> list[int]:
    return sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal())


def _matching(fits: Callable[[list[bytes]], bool]) -> list[int]:
    return [pid for pid in _all() if fits(_arguments(pid))]


def _program(arguments: list[bytes]) -> str:
    return Path(os.fsdecode(arguments[0])).name if arguments else ""


def _arguments(pid: int) -> list[bytes]:
    try:
        command = (PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return command.split(b"\0") if command else []
