"""The program that becomes an NFS server: `python -m …cell.launch`, with a `Launch` as JSON.

It starts as root of the host and ends up as the first process of namespaces of its own, with a few
files, a few capabilities and two filters of system calls. What is given up stays given up: nothing
here can be undone by the program that it becomes. The parent writes the process id, as the host
counts it, into the pid file and ends with what went wrong, if anything did.
"""

from __future__ import annotations

import json  # not msgspec: loading that would take most of the time until clients are served again
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from abaca.drivers.linux.file_services.nfs.cell import kernel, privileges, view
from abaca.drivers.linux.file_services.nfs.cell.kernel import check, libc

NFS_PORT = 2049
LISTENER = "ABACA_LISTENER"
"""In the environment of a program: the descriptor that it listens by; see `storage.c`."""


class Launch(NamedTuple):
    """`argv`: the program's; `program` its file. `network`: the name file of a network namespace.
    `listens_in`: that of another one, in which it listens by a socket that it is given; or nothing.
    `root`: an empty folder. Paths: see `view.enter`. `library`: what is loaded into the program.
    `limits`: by names of resources. `groups`: files of control groups to join. `capabilities`:
    those that it keeps, as bits."""

    program: str
    argv: list[str]
    pid_file: str
    network: str
    listens_in: str
    root: str
    library: str
    host_name: str
    environment: dict[str, str]
    of_the_host: list[str]
    read_only: list[str]
    writable: list[str]
    private: list[str]
    shares: str | None
    limits: dict[str, int]
    groups: list[str]
    capabilities: int


def main() -> None:
    launch = Launch(**json.loads(sys.argv[1]))
    try:
        _join(launch.groups)
        if launch.listens_in:
            _enter_network(launch.listens_in)
            launch.environment[LISTENER] = str(_listener())
        _enter_network(launch.network)
        check(libc.unshare(kernel.NEW_PROCESSES), "make a process namespace")
        pid = _fork(lambda: _become(launch))
        _write_pid(Path(launch.pid_file), pid)
    except OSError as error:
        sys.exit(f"{launch.argv[0]} cannot be started in a cell: {error}")


def _become(launch: Launch) -> None:
    others = kernel.NEW_MOUNTS | kernel.NEW_CGROUPS | kernel.NEW_HOST_NAME | kernel.NEW_IPC
    check(libc.unshare(others), "make namespaces")
    os.setsid()
    os.umask(0o022)
    check(libc.sethostname(launch.host_name.encode(), len(launch.host_name)), "set the host name")
    view.enter(
        Path(launch.root),
        [*launch.of_the_host, launch.library],
        launch.read_only,
        launch.writable,
        launch.private,
        launch.shares,
    )
    # for the null device of the cell: the host's is on a file system with all its other devices
    _leave_streams()
    if not Path(launch.library).is_file():
        raise OSError(f"the library {launch.library} is not there")
    privileges.limit(launch.limits.items())
    privileges.give_up(launch.capabilities)
    privileges.demand_token()
    environment = {"LC_ALL": "C", **launch.environment, "LD_PRELOAD": launch.library}
    os.execve(launch.program, launch.argv, environment)


def _join(groups: list[str]) -> None:
    for group in groups:
        Path(group).write_text("0")  # this process


def _enter_network(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(libc.setns(handle, kernel.NEW_NETWORK), f"enter the network namespace {path}")
    finally:
        os.close(handle)


def _listener() -> int:
    """A socket of this network namespace, whatever namespace it is used from; it goes with the
    program that this process becomes."""
    made = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("::", NFS_PORT))
    made.set_inheritable(True)
    return made.detach()


def _fork(become: Callable[[], None]) -> int:
    """The process id of a child that has become another program. Raises OSError with what kept it
    from that."""
    read, write = os.pipe()  # the write end is closed by the exec
    pid = os.fork()
    if pid == 0:
        said = "of an unexpected error"
        try:
            become()
        except OSError as error:
            said = str(error)
        finally:  # nothing may return from here into the parent's code
            os.write(write, said.encode())
            os._exit(1)
    os.close(write)
    with open(read, "rb") as pipe:
        complaint = pipe.read()
    if complaint:
        os.waitpid(pid, 0)
        raise OSError(complaint.decode(errors="replace"))
    return pid


def _leave_streams() -> None:
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def _write_pid(file: Path, pid: int) -> None:
    new = file.with_name(f".{file.name}.new")
    new.write_text(f"{pid}\n")
    new.replace(file)


if __name__ == "__main__":
    main()
