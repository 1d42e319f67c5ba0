"""A MariaDB of the tests' own, for a Neutron that several threads serve: reached by a socket in its
folder, gone with it."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.openstack.process import STOP_SECONDS, program, run
from tests.service import wait_until

PROGRAMS = ("mariadb-install-db", "mariadbd")
_SEARCH_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
START_SECONDS = 120.0
# It keeps nothing beyond the tests: no sync to the disk, little memory.
_OPTIONS = (
    "--skip-networking",
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=64M",
    "--innodb-use-native-aio=0",
)


def missing() -> str | None:
    """Why MariaDB cannot be run here, or None."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=_SEARCH_PATH) is None]
    return f"{', '.join(lacking)} missing (Debian: mariadb-server)" if lacking else None


class Mariadb:
    """A server with one empty database, `neutron`. Its folder's path is short: sockets want
    that."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="abaca-mariadb-"))
        self.socket = self.folder / "socket"
        self._data = f"--datadir={self.folder / 'data'}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mysql+pymysql://root@localhost/neutron?unix_socket={self.socket}&charset=utf8mb4"

    def start(self) -> None:
        install, server = (shutil.which(name, path=_SEARCH_PATH) or name for name in PROGRAMS)
        user = f"--user={getpass.getuser()}"
        run(
            self.folder,
            install,
            "--no-defaults",
            self._data,
            user,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        with open(self.folder / "log", "wb") as log:
            command = [
                server,
                "--no-defaults",
                self._data,
                user,
                f"--socket={self.socket}",
                f"--pid-file={self.folder / 'pid'}",
                *_OPTIONS,
            ]
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(
            lambda: (
                self.socket.exists() or self._process is None or self._process.poll() is not None
            ),
            "MariaDB",
            START_SECONDS,
        )
        create = (
            "import pymysql, sys; pymysql.connect(user='root', "
            "unix_socket=sys.argv[1]).cursor().execute('CREATE DATABASE neutron')"
        )
        run(self.folder, program("python"), "-c", create, str(self.socket))

    def stop(self) -> None:
        """End it, and take its folder away."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS)
        shutil.rmtree(self.folder)
