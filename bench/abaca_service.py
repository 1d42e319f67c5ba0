"""Abaca as an administrator would run it: `abaca api` and `abaca worker` with the fake back end
without delays, no authentication, and the defaults for everything else. On SQLite or PostgreSQL;
with one worker or with several, each a host of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from oslo_config import cfg
from sqlalchemy.engine import Engine

from abaca import config
from abaca.db.session import create_engine
from bench import conditions, programs
from bench.client import Client, Failed, Target
from bench.conditions import Usage
from bench.service import HEADERS

_CONF = """\
[DEFAULT]
state_dir = {folder}/state
host = {host}
enabled_share_backends = fake
unused_share_server_cleanup_interval = 36000
log_level = WARNING
[database]
{connection}
[api]
auth_strategy = noauth
port = {port}
[quota]
shares = -1
gigabytes = -1
share_networks = -1
[fake]
share_driver = fake
pools = fake:1000000
state_file =
"""


class Installation:
    """A prepared database and its configuration; nothing runs yet. `url` None: SQLite in the state
    directory."""

    def __init__(self, url: str | None = None, workers: int = 1) -> None:
        self.folder = programs.folder("abaca")
        self.hosts = [f"worker{number}" for number in range(1, workers + 1)]
        self.port = programs.free_port()
        connection = f"connection = {url}" if url else ""
        self._files = {}
        for host in self.hosts:
            self._files[host] = self.folder / f"{host}.conf"
            text = _CONF.format(
                folder=self.folder, host=host, port=self.port, connection=connection
            )
            self._files[host].write_text(text, encoding="utf-8")
        self.api_file = self._files[self.hosts[0]]
        subprocess.run(
            command("abaca.admin.manage", "db", "sync", "--config-file", self.api_file),
            check=True,
            stdout=subprocess.DEVNULL,
        )

    @property
    def backends(self) -> list[str]:
        """host@backend of every back end."""
        return [f"{host}@fake" for host in self.hosts]

    def conf(self) -> cfg.ConfigOpts:
        """The configuration of the API and the first worker."""
        return config.load([str(self.api_file)])

    def engine(self) -> Engine:
        """To the database; the caller disposes of it."""
        return create_engine(config.database_url(self.conf()))

    def worker_file(self, host: str) -> Path:
        """The configuration file of one worker."""
        return self._files[host]

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Abaca:
    """An installation that runs, its back ends up. `seconds_to_answer`: from the start of its
    processes to the first answer of the API."""

    name = "Abaca"

    def __init__(
        self, installation: Installation, *, database: programs.PostgreSQL | None = None
    ) -> None:
        self.target = Target("127.0.0.1", installation.port, HEADERS)
        self._database = database
        self._subnet: tuple[str, str] | None = None
        self.parts: dict[str, programs.Program] = {}
        began = time.perf_counter()
        self.parts["API"] = self._start(installation, "api", installation.api_file)
        for host in installation.hosts:
            self.parts[host] = self._start(installation, "worker", installation.worker_file(host))
        try:
            programs.until(self._answers, "the API to answer", pause=0.01)
            self.seconds_to_answer = time.perf_counter() - began
            programs.until(
                lambda: self._backends_up() == len(installation.hosts), "the back ends to be up"
            )
            self.seconds_to_back_end = time.perf_counter() - began
        except BaseException:
            self.stop()
            raise

    def subnet(self, number: int) -> dict[str, str]:
        """A /16 of its own for each number, on one local network."""
        client = Client(self.target)
        network = client.must(
            "POST", "/network/v2.0/networks", {"network": {"name": f"bench-{number}"}}
        )["network"]["id"]
        wanted = {"network_id": network, "ip_version": 4, "cidr": f"10.{1 + number % 250}.0.0/16"}
        subnet = client.must("POST", "/network/v2.0/subnets", {"subnet": wanted})["subnet"]["id"]
        client.close()
        return {"neutron_net_id": network, "neutron_subnet_id": subnet}

    def usage(self) -> dict[str, Usage]:
        """By part."""
        parts = {name: conditions.usage([part.pid]) for name, part in self.parts.items()}
        return parts | (
            {"PostgreSQL": conditions.usage([self._database.program.pid])} if self._database else {}
        )

    def stop(self) -> None:
        for part in reversed(self.parts.values()):
            part.stop()

    def _start(self, installation: Installation, name: str, file: Path) -> programs.Program:
        return programs.Program(
            command("abaca.admin.cli", name, "--config-file", file),
            installation.folder / f"{name}.log",
        )

    def _answers(self) -> bool:
        for part in self.parts.values():
            part.require()
        try:
            return Client(self.target).ask("GET", "/")[0] == 300
        except (OSError, Failed):
            return False

    def _backends_up(self) -> int:
        for part in self.parts.values():
            part.require()
        services = Client(self.target).must("GET", "/v2/services")["services"]
        return sum(service["state"] == "up" for service in services)


def command(module: str, *arguments: str | Path) -> list[str]:
    """One of our own commands, run by this Python."""
    return [sys.executable, "-m", module, *map(str, arguments)]
