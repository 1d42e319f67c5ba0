"""The installation that is shot at: an API process, a worker process and a PostgreSQL cluster of
its own, killed and started again."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import bcrypt
from oslo_config import cfg

from abaca import config
from abaca.admin import state_dir
from abaca.domain.services import services
from abaca.drivers.linux import inventory
from abaca.worker.backends import network_namespace
from tests.ceph_cluster import KINDS, Ceph, running
from tests.databases import PostgresqlCluster, PostgresqlDatabases, find_postgresql
from tests.service import Installation, reachable_folder, wait_until
from tests.stack import Stack

BACKEND, PLAIN_BACKEND = "b1", "b2"
"""The second one has no share servers."""
FORMS = {
    "fake": "share_driver = fake\n",
    "linux": "share_driver = linux\npool_size_gib = 100\npool_sparse = true\n",
    "ceph": "share_driver = linux\n",
}
KILLED = ("api", "worker", "postgresql")
READY_SECONDS = 90.0
AFTERMATH_SECONDS = 15.0
"""So long after the last kill an answer may still tell of it: connections that are dead, a lease
that is looked for."""
_LOOK_SECONDS = 0.1
_CONFIGURATION = """\
[DEFAULT]
host = host1
enabled_share_backends = {backend},{plain}
is_deferred_deletion_enabled = {is_deferred}
periodic_deferred_delete_interval = 5
unused_share_server_cleanup_interval = 15
service_down_time = 60
[database]
connection = {url}
[api]
port = {port}
[quota]
share_networks = 100
[worker]
report_interval = 1
[{backend}]
{form}
[{plain}]
share_driver = fake
driver_handles_share_servers = false
"""


class Part:
    """One process of ours, run again whenever it has ended, unless it is held down."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self._command = list(command)
        self._log = log
        self._guard = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_held = True
        self.ended_by_itself = 0

    def kill(self) -> None:
        """SIGKILL; what an API process has started of its own dies too, what a worker has started
        goes on. It stays down."""
        with self._guard:
            self._is_held = True
            if self._process is not None:
                with suppress(ProcessLookupError):
                    (os.killpg if self.name == "api" else os.kill)(
                        self._process.pid, signal.SIGKILL
                    )
                self._forget(self._process)

    def release(self) -> None:
        """Let it run."""
        with self._guard:
            self._is_held = False
            if self._process is None:
                self._start()

    def keep(self) -> None:
        """Start it again when it has ended by itself, as a supervisor would."""
        with self._guard:
            if not self._is_held and self._process is not None and self._process.poll() is not None:
                self.ended_by_itself += 1
                self._forget(self._process)
                self._start()

    def stop(self) -> None:
        """End it as an administrator would."""
        with self._guard:
            self._is_held = True
            if self._process is not None:
                self._process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(30)
        self.kill()

    def _start(self) -> None:
        with open(self._log, "ab") as log:
            # Its standard input is ours, so it ends with us.
            self._process = subprocess.Popen(
                [*self._command, "--until-stdin-closes"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
        self._process = None


class Site:
    """`form`: fake, linux or ceph, with a Ceph that runs. `conf` and `stack` look at the database
    and prepare it; what is asked for goes over HTTP."""

    def __init__(
        self,
        folder: Path,
        form: str,
        cluster: PostgresqlCluster,
        ceph: Ceph | None,
        *,
        is_deferred: bool,
    ) -> None:
        self.form = form
        self.ceph = ceph
        self.cluster = cluster
        self.installation = Installation(folder, None)
        url = PostgresqlDatabases(cluster.port).create()
        self.installation.configure(
            _CONFIGURATION.format(
                backend=BACKEND,
                plain=PLAIN_BACKEND,
                is_deferred=is_deferred,
                url=url,
                port=self.installation.port,
                form=FORMS[form] + _lines(ceph.options() if ceph else {}),
            )
        )
        file = str(folder / "abaca.conf")
        self.conf: cfg.ConfigOpts = config.load(
            [file], {"state_dir": str(self.installation.state_dir)}
        )
        self.password = secrets.token_hex(8)
        self.log = folder / "processes.log"
        self.parts = {
            name: Part(name, self.installation.command(name), self.log)
            for name in ("api", "worker")
        }
        self.stack: Stack
        self._disturbances = 0
        self._api_kills = self._api_returns = 0
        self._last = float("-inf")
        self._stopping = Event()
        self._keeper = Thread(target=self._keep, name="keeper")

    @property
    def url(self) -> str:
        return self.installation.url

    @property
    def namespace(self) -> str:
        return network_namespace(self.conf)

    @property
    def worker_folder(self) -> Path:
        return Path(self.conf.state_dir, "worker")

    def prepare(self, roles: Mapping[str, str]) -> None:
        """State directory, tables and a user a project, of the same name, with that role; then
        everything is started."""
        state_dir.make_folder(self.conf)
        state_dir.prepare(self.conf)
        # The cheapest hash: each start of an API process asks for it again.
        hashed = bcrypt.hashpw(self.password.encode(), bcrypt.gensalt(4)).decode()
        lines = "".join(f"{user}:{hashed}:{user}:{role}\n" for user, role in roles.items())
        state_dir.replace(
            config.users_file(self.conf), lines, 0o640, state_dir.api_group(self.conf)
        )
        self.stack = Stack(self.conf)
        for part in self.parts.values():
            part.release()
        self._keeper.start()
        self.until_whole()

    def kill(self, names: Sequence[str], seconds: float) -> None:
        """Kill these of KILLED and of Ceph's daemons at once, leave them down for so long, and
        start them again."""
        self._disturbances += 1
        self._last = time.monotonic()
        self._api_kills += "api" in names
        try:
            for name in names:
                self._kill(name)
            Event().wait(seconds)
            if "postgresql" in names:
                self.cluster.resume()
            for kind in KINDS:
                if self.ceph and kind in names:
                    self.ceph.daemon(kind)
            for name in names:
                if name in self.parts:
                    self.parts[name].release()
        finally:
            self._last = time.monotonic()
            self._disturbances -= 1

    def _kill(self, name: str) -> None:
        if name in self.parts:
            self.parts[name].kill()
        elif name == "postgresql":
            self.cluster.kill()
        elif self.ceph is not None:
            self.ceph.kill(name)

    def was_disturbed(self, since: float) -> bool:
        """Whether something was killed shortly before that moment or after it."""
        return (
            self._disturbances > 0
            or self._api_kills > self._api_returns
            or self._last > since - AFTERMATH_SECONDS
        )

    def until_whole(self) -> None:
        """Wait until Ceph and the API answer and the back end is up."""
        if self.ceph is not None:
            self.ceph.await_ready()
        wait_until(self.installation.answers, "the API to answer", READY_SECONDS)
        wait_until(
            lambda: set(self._states()) == {"up"},
            f"the back ends to be up: {self.said()}",
            READY_SECONDS,
        )

    def said(self) -> str:
        """The end of what the processes said."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def stop(self) -> None:
        """End everything, and take away what of it is on the machine."""
        self._stopping.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for part in reversed(list(self.parts.values())):
            part.stop()
        if hasattr(self, "stack"):
            self.stack.close()
        if self.form != "fake":
            inventory.remove_installation(self.namespace, self.worker_folder)

    def _states(self) -> list[Any]:
        return [view["state"] for view in self.stack.ask(services.find, {})]

    def _keep(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            for part in self.parts.values():
                part.keep()
            kills = self._api_kills
            if kills > self._api_returns and self.installation.answers():
                self._last, self._api_returns = time.monotonic(), kills


def _lines(options: Mapping[str, str]) -> str:
    return "".join(f"{name} = {value}\n" for name, value in options.items())


@contextmanager
def site(form: str, seed: int, keep: Callable[[Site], None] = lambda _: None) -> Iterator[Site]:
    """One that is not prepared yet, taken away afterwards; with deferred deletion if the seed is
    odd. `keep` is shown it before that."""
    binaries = find_postgresql()
    if binaries is None:
        raise RuntimeError("PostgreSQL is missing (Debian: postgresql)")
    cluster = PostgresqlCluster(binaries, is_durable=True)
    try:
        cluster.start()
        with reachable_folder() as folder, ExitStack() as ending:
            ceph = None
            if form == "ceph":
                (folder / "ceph").mkdir()
                ceph = ending.enter_context(running(folder / "ceph", is_durable=True))
            made = Site(folder, form, cluster, ceph, is_deferred=seed % 2 == 1)
            try:
                yield made
            finally:
                keep(made)
                made.stop()
    finally:
        cluster.stop()
