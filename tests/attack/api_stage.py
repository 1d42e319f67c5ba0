"""The API as an administrator runs it, over SQLite or PostgreSQL, with an honest client at
127.0.0.1; the attacker is at 127.0.0.2.

Passwords have hashes of the default cost. There is no worker, and nothing needs root.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

import bcrypt

from tests.api_process import Server, serving
from tests.attack.api_honest import NAME, PASSWORD
from tests.attack.honest import Honest, Watched
from tests.attack.registry import FULL, Force, Seen
from tests.databases import PostgresqlCluster, PostgresqlDatabases, find_postgresql
from tests.raw_http import Connection, basic, request
from tests.stack import initialise

ATTACKER = "127.0.0.2"
KNOWN = [f"known-{number}" for number in range(4)]  # users whose names the attacker knows
LATE = [f"late-{number}" for number in range(40)]  # users who have not logged in yet
FIRST_LOGIN_SECONDS = 2.0
GONE_SECONDS = 2.0


class ApiStage:
    """`server` runs."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._tls = server.url.startswith("https")
        self._late = iter(LATE)
        self._honest = Honest(
            "tests.attack.api_honest", str(server.port), "tls" if self._tls else "plain"
        )

    def watched(self) -> dict[str, Watched]:
        """What the honest client saw since this was asked last."""
        return {"API": self._honest.so_far()}

    def connect(self, source: str = ATTACKER) -> socket.socket | None:
        """A connection that does not wait for anything; None when there is no place."""
        link = socket.socket()
        link.bind((source, 0))
        link.settimeout(1.0)
        try:
            link.connect(("127.0.0.1", self.server.port))
        except OSError:
            link.close()
            return None
        link.setblocking(False)
        return link

    @contextmanager
    def crowd(
        self, number: int, data: bytes = b"", source: str = ATTACKER
    ) -> Iterator[list[socket.socket]]:
        """So many connections that have sent `data`, as far as there are places."""
        links: list[socket.socket] = []
        try:
            for _ in range(number):
                link = self.connect(source)
                if link is not None:
                    links.append(link)
                    send(link, data)
            yield links
        finally:
            for link in links:
                link.close()

    def first_login(self) -> float:
        """Seconds until somebody who has never logged in has an answer; infinite when it is
        none."""
        began = time.monotonic()
        with (
            contextlib.suppress(OSError),
            Connection(self.server.port, 30, tls=self._tls) as connection,
        ):
            connection.send(
                request("GET", "/v2/types", credentials=basic(next(self._late), PASSWORD))
            )
            answer = connection.answer()
            if answer is not None and answer.status == 200:
                return time.monotonic() - began
        return float("inf")

    def seen(
        self,
        force: Force,
        what: str,
        cpu: float,
        *,
        logins: tuple[float, float] | None = None,
        turns: int = 3,
    ) -> Seen:
        """What is left two seconds after the attacker has gone, with the figures. `logins`: seconds
        of a first login without the attack, and in it; `turns` times as many are allowed where the
        machine is too busy for two seconds."""
        said = f"{what}; attacker {cpu:.1f} s of CPU"
        holds = True
        if logins is not None:
            before, during = logins
            said += f"; first login {during:.2f} s, without the attack {before:.2f} s"
            holds = during <= max(FIRST_LOGIN_SECONDS if force == FULL else 20.0, turns * before)
        left = self.connections()
        began = time.monotonic()
        while left and time.monotonic() - began < GONE_SECONDS:
            time_passes()
            left = self.connections()
        memory = sum(status(pid, "VmRSS") for pid in self.server.pids()) // 1024
        return Seen(
            holds and not left,
            f"{said}; {left} connections left {time.monotonic() - began:.1f} s later, {memory} MiB",
        )

    def connections(self) -> int:
        """Of the attacker's, as the server's side has them."""
        ours, attacker = f":{self.server.port:04X}", "0200007F"
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(
            1
            for line in lines
            if line[1].endswith(ours) and line[2].startswith(attacker) and line[3] in ("01", "08")
        )

    def end(self) -> None:
        """The honest client goes."""
        self._honest.end()


def send(link: socket.socket, data: bytes) -> bool:
    """As much of it as goes; whether the other end is still there."""
    try:
        link.send(data)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def time_passes() -> None:
    """A tenth of a second."""
    Event().wait(0.1)


def status(pid: int, name: str) -> int:
    """A figure of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


@contextmanager
def api_stage(kind: str, *, tls: bool = False) -> Iterator[ApiStage]:
    """`kind`: sqlite or postgresql."""
    with ExitStack() as stack:
        url = None
        if kind == "postgresql":
            binaries = find_postgresql()
            assert binaries is not None, "PostgreSQL is missing (Debian: postgresql)"
            cluster = PostgresqlCluster(binaries)
            stack.callback(cluster.stop)
            cluster.start()
            url = PostgresqlDatabases(cluster.port).create_from(initialise)
        server = stack.enter_context(serving(url))
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt()).decode()
        lines = [f"{name}:{hashed}:red:admin" for name in (NAME, *KNOWN, *LATE)]
        (server.folder / "users").write_text("\n".join(lines))
        if tls:
            server.use_tls()
        server.start()
        made = ApiStage(server)
        stack.callback(made.end)
        yield made
