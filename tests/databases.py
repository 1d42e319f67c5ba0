"""Fresh databases for tests, on SQLite and on a real PostgreSQL cluster that the tests start
themselves.

A database is given by its SQLAlchemy URL. No schema is in here: `create_from(initialise)` copies
one that `initialise(url)` made once a session, which costs far less than making it for each test.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import psycopg

from abaca.admin.ports import free_port

KINDS = ("sqlite", "postgresql")
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 * 1024**3  # that it must have room for
START_SECONDS = 30
STOP_SECONDS = 30

Initialise = Callable[[str], None]


class Databases(Protocol):
    """A source of databases of one kind."""

    def create(self) -> str:
        """The URL of a new, empty database."""

    def create_from(self, initialise: Initialise) -> str:
        """The URL of a new database with what `initialise(url)` puts into an empty one. It must
        close its connections."""

    def copy(self, url: str) -> str:
        """The URL of a copy of a database that nobody is connected to."""

    def drop(self, url: str) -> None:
        """Take a database away, whoever is still connected."""


class SqliteDatabases:
    """One file a database, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._templates: dict[Initialise, Path] = {}

    def create(self) -> str:
        return f"sqlite:///{self._new_path()}"

    def create_from(self, initialise: Initialise) -> str:
        if initialise not in self._templates:
            template = self._new_path()
            initialise(f"sqlite:///{template}")
            self._templates[initialise] = template
        return self.copy(f"sqlite:///{self._templates[initialise]}")

    def copy(self, url: str) -> str:
        original = Path(url.removeprefix("sqlite:///"))
        fold_write_ahead_log(original)
        copy = self._new_path()
        shutil.copyfile(original, copy)
        return f"sqlite:///{copy}"

    def drop(self, url: str) -> None:
        path = url.removeprefix("sqlite:///")
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(path + suffix).unlink(missing_ok=True)

    def _new_path(self) -> Path:
        return self._folder / f"abaca-{next(self._numbers)}.db"


def fold_write_ahead_log(path: Path) -> None:
    """Have the file itself hold all that was committed. Raises RuntimeError while it is in use."""
    connection = sqlite3.connect(path)
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
    if busy:
        raise RuntimeError(
            f"{path} is still in use: the function that initialises a template must close its "
            "connections"
        )


class PostgresqlDatabases:
    """Databases of one running cluster."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = itertools.count(1)
        self._templates: dict[Initialise, str] = {}

    def create(self) -> str:
        return self._url(self._new_database("template0"))

    def create_from(self, initialise: Initialise) -> str:
        if initialise not in self._templates:
            template = self._new_database("template0")
            initialise(self._url(template))
            self._templates[initialise] = template
        return self._url(self._new_database(self._templates[initialise]))

    def copy(self, url: str) -> str:
        return self._url(self._new_database(url.rpartition("/")[2]))

    def drop(self, url: str) -> None:
        self._execute(f'DROP DATABASE IF EXISTS "{url.rpartition("/")[2]}" WITH (FORCE)')

    def _new_database(self, template: str) -> str:
        name = f"abaca_{next(self._numbers)}"
        # With nothing to be synced, copying files takes half the CPU of writing pages to the log.
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return name

    def _execute(self, statement: str) -> None:
        with psycopg.connect(
            host="127.0.0.1", port=self._port, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def _url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/{name}"


class PostgresqlCluster:
    """A throw-away PostgreSQL cluster in a temporary folder, listening on loopback; durability is
    off, unless it is to be crashed.

    PostgreSQL refuses to run as root, so root starts it as an unprivileged user. It dies with the
    process that started it.
    """

    def __init__(self, binaries: Path, *, is_durable: bool = False) -> None:
        self._binaries = binaries
        self._durability = "on" if is_durable else "off"
        self._account = _unprivileged_account()
        self._folder = Path(
            tempfile.mkdtemp(prefix="abaca-pg-", dir=None if is_durable else memory())
        )
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._account:
            os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
        options = [
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        initdb = self._command(self._binaries / "initdb", *options, self._data)
        subprocess.run(initdb, cwd=self._folder, check=True, stdout=subprocess.DEVNULL)
        self.resume()

    def crash(self) -> None:
        """It is gone from one moment to the next; `resume` brings it back with all that was
        committed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL for it and all of its processes at once; `resume` brings it back as after a
        crash."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)  # so that it starts no more of them
        children = (
            Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        )
        for pid in map(int, children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def resume(self) -> None:
        """Run it."""
        settings = {
            "listen_addresses": "127.0.0.1, ::1",
            "port": self.port,
            "unix_socket_directories": self._folder,
            "max_connections": 200,
            "fsync": self._durability,
            "synchronous_commit": self._durability,
            "full_page_writes": self._durability,
        }
        arguments = [f"--{name}={value}" for name, value in settings.items()]
        with self._log.open("wb") as log:
            command = self._command(self._binaries / "postgres", "-D", self._data, *arguments)
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        self._wait_until_ready(self._process)

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # "fast shutdown": disconnects clients
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return self._folder

    def has_ended(self) -> bool:
        """Whether it gave up by itself."""
        return self._process is not None and self._process.poll() is not None

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _command(self, *command: str | Path) -> list[str | Path]:
        prefix: list[str | Path] = ["setpriv", "--pdeathsig=INT"]
        if self._account:
            prefix += [
                f"--reuid={self._account.pw_uid}",
                f"--regid={self._account.pw_gid}",
                "--clear-groups",
            ]
        return [*prefix, *command]

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        pause = threading.Event()
        for _ in range(START_SECONDS * 20):
            if process.poll() is not None:
                break
            try:
                psycopg.connect(
                    host="127.0.0.1", port=self.port, user="postgres", dbname="postgres"
                ).close()
            except psycopg.OperationalError:
                pause.wait(0.05)
            else:
                return
        raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}")


def memory() -> Path | None:
    """A folder in memory, if this machine has room there: a test does not outlive a power cut, and
    files on a disk are half of its time."""
    has_room = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    return MEMORY if has_room else None


def find_postgresql() -> Path | None:
    """The folder of PostgreSQL's programs, of the newest version that Debian's package installed;
    None when there is none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _unprivileged_account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
