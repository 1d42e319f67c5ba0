"""Programs that a benchmark starts and ends: each in the foreground as a child of ours, on
loopback, in a temporary folder, ended by its pid.

PostgreSQL, MariaDB and RabbitMQ run with their own defaults, durability included, from Debian's
packages; their services are not used.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

START_SECONDS = 120.0
STOP_SECONDS = 60.0
_pause = threading.Event()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until(
    condition: Callable[[], object], what: str, seconds: float = START_SECONDS, pause: float = 0.02
) -> None:
    """Ask until it holds. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        _pause.wait(pause)


def listens(port: int) -> bool:
    """Whether somebody does."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Program:
    """One running program; it ends when we do, however that is."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        stop_signal: int = signal.SIGTERM,
    ) -> None:
        self.log = log
        self._stop_signal = stop_signal
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*as_user(user), *map(str, command)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                 env={**os.environ, **(environment or {})}, cwd=log.parent,
            )  # fmt: skip
        self.pid = self._process.pid

    def require(self) -> bool:
        """True while it runs. Raises RuntimeError with the end of its log when it does not."""
        if self._process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])
            raise RuntimeError(
                f"{self.log.name} ended with status {self._process.returncode}:\n{tail}"
            )
        return True

    def wait_for_port(self, port: int) -> None:
        """Until it listens."""
        until(lambda: self.require() and listens(port), f"{self.log.name} to listen on port {port}")

    def stop(self) -> None:
        """End it, and kill it when it does not end in time."""
        if self._process.poll() is None:
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def as_user(user: str | None) -> list[str]:
    """What to put before a command that must not run as root; it dies with its parent."""
    prefix = ["setpriv", "--pdeathsig=TERM"]
    if user and os.geteuid() == 0:
        account = pwd.getpwnam(user)
        prefix += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return prefix


def folder(prefix: str, user: str | None = None) -> Path:
    """A temporary folder that everybody may pass through, and that belongs to `user`."""
    made = Path(tempfile.mkdtemp(prefix=f"abaca-bench-{prefix}-"))
    made.chmod(0o755)
    if user and os.geteuid() == 0:
        account = pwd.getpwnam(user)
        os.chown(made, account.pw_uid, account.pw_gid)
    return made


class PostgreSQL:
    """A cluster of its own with PostgreSQL's own defaults."""

    def __init__(self) -> None:
        binaries = max(
            Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
        )
        self._folder = folder("postgresql", "postgres")
        self.port = free_port()
        init = [
            binaries / "initdb",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
            self._folder / "data",
        ]
        subprocess.run(
            [*as_user("postgres"), *map(str, init)],
            cwd=self._folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        server: list[str | Path] = [
            binaries / "postgres",
            "-D",
            self._folder / "data",
            "-p",
            str(self.port),
            "-k",
            self._folder,
        ]
        server += ["-c", "listen_addresses=127.0.0.1"]
        self.program = Program(
            server, self._folder / "postgresql.log", user="postgres", stop_signal=signal.SIGINT
        )
        self.program.wait_for_port(self.port)

    def create(self, name: str, template: str = "template1") -> str:
        """A new database's SQLAlchemy URL."""
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        self.program.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _execute(self, statement: str) -> None:
        import psycopg

        def attempt() -> bool:
            try:
                with psycopg.connect(
                    host="127.0.0.1",
                    port=self.port,
                    user="postgres",
                    dbname="postgres",
                    autocommit=True,
                ) as connection:
                    connection.execute(statement.encode())
            except psycopg.OperationalError:  # it listens before it takes connections
                return False
            return True

        until(attempt, "PostgreSQL to take connections", 30)


class MariaDB:
    """A server of its own with MariaDB's own defaults; the user root of it needs no password on
    loopback."""

    def __init__(self) -> None:
        self._folder = folder("mariadb", "nobody")
        self.port = free_port()
        data = self._folder / "data"
        install = [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
        subprocess.run(
            [*as_user("nobody"), *install],
            cwd=self._folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        server = [
            "mariadbd", "--no-defaults", f"--datadir={data}", "--bind-address=127.0.0.1",
             f"--port={self.port}",
            f"--socket={self._folder}/socket", f"--pid-file={self._folder}/pid",
             "--max-connections=500",
        ]  # fmt: skip
        self.program = Program(server, self._folder / "mariadb.log", user="nobody")
        self.program.wait_for_port(self.port)

    def stop(self) -> None:
        self.program.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class RabbitMQ:
    """A broker of its own, with a port mapper of its own; user and password guest."""

    def __init__(self) -> None:
        self._folder = folder("rabbitmq", "rabbitmq")
        self.port, distribution, mapper = free_port(), free_port(), free_port()
        environment = {
            "HOME": str(self._folder),
            "RABBITMQ_NODENAME": f"bench{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "none"),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self._mapper = Program(
            ["epmd", "-port", str(mapper), "-address", "127.0.0.1"],
            self._folder / "epmd.log",
            user="rabbitmq",
        )
        self._mapper.wait_for_port(mapper)
        server = ["/usr/lib/rabbitmq/bin/rabbitmq-server"]
        self.program = Program(
            server, self._folder / "rabbitmq.log", user="rabbitmq", environment=environment
        )
        self.program.wait_for_port(self.port)

    def stop(self) -> None:
        self.program.stop()
        self._mapper.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
