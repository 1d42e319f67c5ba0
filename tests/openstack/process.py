"""One OpenStack service as a process of its own, on a port of its own. Nothing of OpenStack is
imported here.

The listening socket is made here and handed down: nobody else can answer on that port, and a
request sent at once waits until the service is up.
"""

from __future__ import annotations

import os
import socket
import subprocess
import urllib.request
from pathlib import Path

from abaca.admin.ports import free_port

ENVIRONMENT = Path(__file__).parents[2] / ".venv-openstack"
START_SECONDS = 180
STOP_SECONDS = 20
COMMAND_SECONDS = 240


def missing() -> str | None:
    """Why OpenStack's services cannot be run here, or None."""
    return (
        None
        if (ENVIRONMENT / ".installed").exists()
        else "Keystone and Neutron are missing (make venv-openstack)"
    )


def program(name: str) -> str:
    """A program of the OpenStack environment."""
    return str(ENVIRONMENT / "bin" / name)


def script(name: str) -> list[str]:
    """A script of this folder, for the OpenStack environment's Python. -P: our modules must not
    are in place of OpenStack's."""
    return [program("python"), "-P", str(Path(__file__).with_name(name))]


def run(folder: Path, *command: str) -> None:
    """Carry out a command that sets a service up; fails with all that it printed."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"


class Service:
    """A WSGI application of OpenStack's, in `folder`. Stopped and started again, it keeps its
    port."""

    def __init__(self, module: str, folder: Path, threads: int = 1, **environment: str) -> None:
        """One thread: with more, SQLite answers "database is locked"."""
        self.folder = folder
        self.port = free_port()
        self._module = module
        self._threads = threads
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        """Start it; back when it answers."""
        with socket.socket() as listening, open(self.log, "ab") as log:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", self.port))
            listening.listen(64)
            self._process = subprocess.Popen(
                [
                    *script("wsgi_server.py"),
                    self._module,
                    str(listening.fileno()),
                    str(self._threads),
                ],
                pass_fds=[listening.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, **self._environment},
            )
        try:
            urllib.request.urlopen(self.url, timeout=START_SECONDS).close()
        except urllib.error.HTTPError:
            return  # 300 Multiple Choices: it answers
        except OSError as error:
            self.stop()
            raise AssertionError(
                f"{self._module}: {error}\n{self.log.read_text()[-4000:]}"
            ) from error

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None
