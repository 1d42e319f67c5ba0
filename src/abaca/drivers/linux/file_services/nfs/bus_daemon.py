"""The DBus of one share server, by which its Ganesha learns of exports: a daemon of its own, in a
cell of its own, without capabilities."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from abaca.drivers.linux import processes
from abaca.drivers.linux.file_services.nfs.cell import confinement
from abaca.drivers.linux.layout import ServerLayout, private_folder, write_atomically
from abaca.errors import Unavailable

BUS = "dbus-daemon"
START_SECONDS = 30.0
END_SECONDS = 5.0

TEMPLATE = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>custom</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""


def start(server: ServerLayout, groups: Sequence[str]) -> None:
    """Returns once it can be connected to. `groups`: see `cell/launch.py`. Raises Unavailable."""
    private_folder(server.bus_socket.parent)
    write_atomically(server.bus_config, TEMPLATE.format(socket=server.bus_socket))
    launch = confinement.launch(
        server,
        BUS,
        [_argument(server), "--nofork", "--nopidfile", "--nosyslog"],
        server.bus_pid,
        read_only=[server.bus_config],
        writable=[server.bus_socket.parent],
        groups=groups,
        capabilities=0,
    )
    confinement.start(launch)
    if not processes.wait_until(lambda: _accepts(server), START_SECONDS):
        raise Unavailable(f"{BUS} of share server {server.id} does not listen")


def stop(server: ServerLayout) -> None:
    """End it, and any that a lost call may have started. Nothing there is success."""
    processes.end(processes.find(BUS, _argument(server)), END_SECONDS)
    for path in (server.bus_pid, server.bus_socket):
        path.unlink(missing_ok=True)


def _argument(server: ServerLayout) -> str:
    return f"--config-file={server.bus_config}"


def _accepts(server: ServerLayout) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
        return attempt.connect_ex(str(server.bus_socket)) == 0
