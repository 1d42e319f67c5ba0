"""`abaca.api.server` as a process of its own for tests, over a database, with users whose passwords
are `pw`; no worker."""

from __future__ import annotations

import base64
import json
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import sqlalchemy as sa

from abaca.admin.ports import free_port
from abaca.db.session import begin, create_engine, utcnow
from abaca.db.tables import pools, services
from abaca.domain.services import availability_zones
from tests.stack import sqlite_database, wait_for, write_key


def _api_user() -> str:
    """The API's own user where `make system` has made it."""
    try:
        return pwd.getpwnam("abaca").pw_name
    except KeyError:
        return "nobody"


USER = _api_user()
PROGRAM = """
import json, logging, sys
from abaca import config
from abaca.api.server import serve
logging.basicConfig()
options = json.loads(sys.argv[1])
serve(config.load(options.pop("config_files", ["/dev/null"]), options))
"""


class Server:
    """A server process with the users alice and root, over a SQLite database of its own unless
    another one is named."""

    def __init__(self, folder: Path, database_url: str | None = None, **options: object) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.options: dict[str, Any] = {
            "state_dir": str(folder),
            "api.port": self.port,
            "api.user": USER,
            **options,
        }
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "db").mkdir()
        if database_url is None:
            url = sqlite_database(folder / "db" / "abaca.sqlite")
        else:
            self.options["database.connection"] = url = database_url
        _worker_is_there(url)
        lines = [
            f"{name}:{bcrypt.hashpw(b'pw', bcrypt.gensalt(4)).decode()}:red:{roles}"
            for name, roles in (("root", "admin"), ("alice", "member"))
        ]
        (folder / "users").write_text("\n".join(lines))
        (folder / "users").chmod(0o600)
        write_key(folder / "key")
        if os.geteuid() == 0:
            for path in [folder, *folder.rglob("*")]:
                shutil.chown(path, self.options["api.user"])

    def use_tls(self) -> None:
        """Serve by TLS from the next start on, with a certificate that nobody signed, for the API's
        user to read."""
        if shutil.which("openssl") is None:
            pytest.skip("openssl is missing")
        key, certificate = self.folder / "tls.key", self.folder / "tls.pem"
        request = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=x",
        ]
        subprocess.run(
            [*request, "-keyout", str(key), "-out", str(certificate)],
            check=True,
            capture_output=True,
        )
        if os.geteuid() == 0:
            for path in (key, certificate):
                shutil.chown(path, self.options["api.user"])
        self.options |= {"api.ssl_certificate": str(certificate), "api.ssl_key": str(key)}
        self.url = self.url.replace("http:", "https:")

    def start(
        self, *prefix: str, python: str = sys.executable, environment: dict[str, str] | None = None
    ) -> None:
        self._launch(*prefix, python=python, environment=environment)
        wait_for(
            lambda: (
                self.process is not None
                and (self.process.poll() is not None or self.ask("GET", "/healthcheck")[0] == 200)
            ),
            60,
        )
        assert self.process is not None and self.process.poll() is None, self.said()

    def refused(
        self, *prefix: str, python: str = sys.executable, environment: dict[str, str] | None = None
    ) -> str:
        """Start it, which must end by itself with an error; what it said."""
        self._launch(*prefix, python=python, environment=environment)
        assert self.process is not None and self.process.wait(60) != 0
        return self.said()

    def _launch(self, *prefix: str, python: str, environment: dict[str, str] | None) -> None:
        command = [*prefix, python, "-c", PROGRAM, json.dumps(self.options)]
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd="/", env={**os.environ, **(environment or {})}
            )

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def ask(
        self, method: str, path: str, body: object = None, user: str = "root"
    ) -> tuple[int, Any]:
        """Status and body; status 0 when nothing answers."""
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode()
        )
        request.add_header(
            "Authorization", "Basic " + base64.b64encode(f"{user}:pw".encode()).decode()
        )
        request.add_header("X-OpenStack-Manila-API-Version", "2.70")
        request.add_header("Content-Type", "application/json")
        unverified = ssl._create_unverified_context() if self.url.startswith("https") else None
        try:
            with urllib.request.urlopen(request, timeout=10, context=unverified) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text[:1] == b"{" else text
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())
        except OSError:
            return 0, None

    def pids(self) -> list[int]:
        """The process and its children."""
        assert self.process is not None
        children = (
            Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        )
        return [self.process.pid, *map(int, children)]

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0, self.said()


def _worker_is_there(url: str) -> None:
    """A worker that is never looked after: requests put work into its queue."""
    engine = create_engine(url)
    now = utcnow()
    with begin(engine) as conn:
        zone = availability_zones.ensure(conn, "nova")
        values = {
            "host": "h@a",
            "worker_host": "h",
            "binary": "manila-share",
            "availability_zone_id": zone,
            "is_ready": True,
        }
        conn.execute(
            sa.insert(services).values(
                **values, created_at=now, updated_at=now, expires_at=now + timedelta(hours=1)
            )
        )
        known = {"driver_handles_share_servers": True, "storage_protocol": "NFS"}
        stats = {
            "pool_name": "p",
            "total_capacity_gb": 100.0,
            "free_capacity_gb": 100.0,
            "capabilities": known,
        }
        conn.execute(
            sa.insert(pools).values(
                host="h@a#p",
                service_host="h@a",
                stats=stats,
                allocated_capacity_gb=0,
                updated_at=now,
            )
        )
    engine.dispose()


@contextmanager
def serving(database_url: str | None = None, /, **options: object) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="abaca-api-"))
    folder.chmod(0o755)
    server = Server(folder, database_url, **options)
    try:
        yield server
        server.end()
    finally:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait(10)
        shutil.rmtree(folder)
