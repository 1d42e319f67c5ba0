"""The `openstack` command without the second of CPU that each start of it spends on imports.

`preloaded_openstack()` is the path of a program that takes the place of `openstack`, also in shell
scripts that find it on their search path. It hands its arguments, environment, folder, network
namespace and standard streams to a process that has imported the client, and that forks: the child
runs the client's own `main` as a start of the program would, and ends with its status. Each command
is a process of its own; of another one it sees nothing.

The server ends with the process of the tests: then its standard input ends.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import gc
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

SOCKET, READY = "socket", b"ready\n"
MOST_BYTES = 1 << 20  # of arguments and environment
STREAMS = 3
# What python-openstackclient and what it is built on load by entry point, whole or when needed.
GROUPS = "openstack.", "cliff.formatter."
CLIENT = """#!{python} -ISE
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, {most_bytes})
server.connect({socket!r})
where = [os.open(".", os.O_RDONLY), os.open("/proc/self/ns/net", os.O_RDONLY)]
wanted = json.dumps([sys.argv, dict(os.environ)]).encode()
socket.send_fds(server, [wanted], [0, 1, 2, *where])
status = int(server.recv(16) or 255)
sys.exit(status if status >= 0 else 128 - status)
"""


@functools.cache
def preloaded_openstack() -> Path:
    """The program; the server behind it is started by the first who asks."""
    folder = Path(tempfile.mkdtemp(prefix="abaca-openstack-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    server = subprocess.Popen(
        [sys.executable, "-P", __file__, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdout and server.stdout.readline() == READY
    program = folder / "openstack"
    program.write_text(
        CLIENT.format(
            python=os.path.realpath(sys.executable),
            socket=str(folder / SOCKET),
            most_bytes=MOST_BYTES,
        )
    )
    program.chmod(0o755)
    return program


# --- the server ----------------------------------------------------------------------------------


def main(folder: str) -> None:
    """Run by `preloaded_openstack`."""
    openstack = load()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(Path(folder, SOCKET)))
        listener.listen(64)
        os.write(1, READY)
        wanted = next_command(listener)
    if wanted is not None:
        sys.argv = wanted
        sys.exit(openstack())


def load() -> Callable[[], int]:
    """Import what commands need; the client's `main`."""
    sys.argv = ["openstack"]  # what is imported takes its name from here
    from openstackclient.shell import main as openstack

    installed = entry_points()
    for group in installed.groups:
        for entry in installed.select(group=group) if group.startswith(GROUPS) else ():
            entry.load()
    gc.freeze()  # or each child's collections would copy all pages of what was imported
    return openstack


def next_command(listener: socket.socket) -> list[str] | None:
    """Returns in each child, with the arguments of its command; in the server only when its
    standard input has ended."""
    ready = selectors.DefaultSelector()
    ready.register(sys.stdin, selectors.EVENT_READ)
    ready.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj is sys.stdin:
                return None
            if key.fileobj is listener:
                connection, _ = listener.accept()
                ready.register(connection, selectors.EVENT_READ, begin)
            else:
                wanted: list[str] | None = key.data(ready, key.fileobj)
                if wanted is not None:
                    return wanted


def begin(ready: selectors.BaseSelector, connection: socket.socket) -> list[str] | None:
    """Fork for a command; its arguments in the child."""
    text, files, _, _ = socket.recv_fds(connection, MOST_BYTES, STREAMS + 2)
    if not text:  # its client was killed
        ready.unregister(connection)
        connection.close()
        return None
    arguments, environment = json.loads(text)
    child = os.fork()
    if child == 0:
        become(environment, files)
        return list(arguments)
    for file in files:
        os.close(file)
    finished = os.pidfd_open(child)

    def end(ready: selectors.BaseSelector, _: object) -> None:
        """The command has ended, or who asked for it: then it is killed."""
        with_status = bool(os.waitid(os.P_PIDFD, finished, os.WEXITED | os.WNOHANG | os.WNOWAIT))
        if not with_status:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if with_status:
            connection.send(str(os.waitstatus_to_exitcode(status)).encode())
        for file in (connection, finished):
            ready.unregister(file)
        os.close(finished)
        connection.close()

    ready.modify(connection, selectors.EVENT_READ, end)
    ready.register(finished, selectors.EVENT_READ, end)
    return None


def become(environment: dict[str, str], files: list[int]) -> None:
    """Take over the streams, the folder, the network namespace and the environment of the program
    that was called."""
    *streams, folder, network = files
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.fchdir(folder)
    if os.stat(f"/proc/self/fd/{network}").st_ino != os.stat("/proc/self/ns/net").st_ino:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(network, 0):
            raise OSError(ctypes.get_errno(), "setns")
    for file in files:
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)


if __name__ == "__main__":
    main(sys.argv[1])
