"""Finding, ending and watching processes that outlive the worker: by a path that only they have among their arguments."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection
from pathlib import Path

PROC = Path("/proc")
SHORTEST_WAIT = 0.005
LONGEST_WAIT = 0.1


def find(argument: Path) -> list[int]:
    """Processes that have exactly this path among their arguments. Reads all of /proc."""
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal() and _has_argument(int(entry.name), argument)]


def find_below(folder: Path, programs: Collection[str]) -> list[int]:
    """Processes of these programs with an argument that holds a path below `folder`. Reads all of /proc."""
    prefix = f"{folder}/".encode()
    found = []
    for pid in (int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()):
        arguments = _arguments(pid)
        if arguments and Path(os.fsdecode(arguments[0])).name in programs and any(prefix in argument for argument in arguments):
            found.append(pid)
    return sorted(found)


def by_pid_file(pid_file: Path, argument: Path) -> int | None:
    """The process that a pid file names, if it lives and has `argument` (its number may be another process's by now)."""
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if _has_argument(pid, argument) else None


def end(pids: list[int], patience: float) -> None:
    """Ask processes to end, wait `patience` seconds for them, then kill those that are left."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            _signal(pid, number)
        if wait_until(lambda: not any(map(_is_alive, pids)), patience):
            return


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll `condition` until it holds; False when it did not within `seconds`."""
    never, waited, pause = threading.Event(), 0.0, SHORTEST_WAIT
    while not condition():
        if waited >= seconds:
            return False
        never.wait(pause)
        waited += pause
        pause = min(pause * 1.5, LONGEST_WAIT)
    return True


def listens(pid: int, port: int) -> bool:
    """Whether anything listens on a TCP port, on all addresses, in the network namespace of this process."""
    try:
        sockets = (PROC / str(pid) / "net" / "tcp6").read_text().splitlines()
    except (FileNotFoundError, OSError):
        return False
    return any(fields[1] == f"{'0' * 32}:{port:04X}" and fields[3] == "0A" for fields in (line.split() for line in sockets))


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _is_alive(pid: int) -> bool:
    # A zombie has no arguments left: it is dead, whoever has to reap it.
    return bool(_arguments(pid))


def _has_argument(pid: int, argument: Path) -> bool:
    return bytes(argument) in _arguments(pid)


def _arguments(pid: int) -> list[bytes]:
    try:
        command = (PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return command.split(b"\0") if command else []
