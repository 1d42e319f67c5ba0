"""Upstream Manila as it was measured before: API under uwsgi with two processes, scheduler, one
share service with the dummy driver without delays and the standalone network plug-in, MariaDB and
RabbitMQ; no authentication. Everything ours, on loopback, in temporary folders.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench import conditions, programs
from bench.client import Client, Target
from bench.conditions import Usage
from bench.service import HEADERS, SHARE_TYPE, SINGLE_TYPE, prepare

REQUIREMENTS = Path(__file__).with_name("manila-requirements.txt")
PACKAGES = ("mariadb-server-core", "mariadb-client-core", "rabbitmq-server")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "abaca-bench" / "manila"

_SHARE_STARTS = 3

_CONF = """\
[DEFAULT]
auth_strategy = noauthv2
api_paste_config = {venv}/etc/manila/api-paste.ini
state_path = {folder}
enabled_share_backends = dummy,single
enabled_share_protocols = NFS
default_share_type = bench
transport_url = rabbit://guest:guest@127.0.0.1:{broker}/
host = bench
rootwrap_config = {venv}/etc/manila/rootwrap.conf
[database]
connection = mysql+pymysql://root@127.0.0.1:{database}/manila?charset=utf8mb4
[oslo_concurrency]
lock_path = {folder}/locks
[quota]
shares = -1
gigabytes = -1
share_networks = -1
[admin_network]
network_api_class = manila.network.standalone_network_plugin.StandaloneNetworkPlugin
standalone_network_plugin_gateway = 10.254.0.1
standalone_network_plugin_mask = 16
{backends}
"""

_BACKEND = """
[{name}]
share_backend_name = {name}
driver_handles_share_servers = True
share_driver = manila.tests.share.drivers.dummy.DummyDriver
dummy_driver_default_driver_method_delay = 0
dummy_driver_driver_methods_delays = create_share:0
network_api_class = manila.network.standalone_network_plugin.StandaloneNetworkPlugin
standalone_network_plugin_gateway = 10.0.0.1
standalone_network_plugin_mask = 16
admin_network_config_group = admin_network
{more}
"""


class Manila:
    """Installs what is missing, starts everything and waits until it answers and its back ends are
    up."""

    name = "upstream Manila"

    def __init__(self) -> None:
        self._venv = install()
        self.python = self._venv / "bin" / "python"
        self.database_port = 0
        self._folder = programs.folder("manila")
        self._parts: dict[str, programs.MariaDB | programs.RabbitMQ | programs.Program] = {}
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def subnet(self, number: int) -> dict[str, str]:
        """The standalone plug-in knows one network only and takes no ids."""
        return {}

    def usage(self) -> dict[str, Usage]:
        """By part."""
        return {name: conditions.usage([_pid(part)]) for name, part in self._parts.items()}

    def stop(self) -> None:
        for part in reversed(self._parts.values()):
            part.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        database = self._parts["MariaDB"] = programs.MariaDB()
        broker = self._parts["RabbitMQ"] = programs.RabbitMQ()
        self.database_port = database.port
        port = programs.free_port()
        self.target = Target("127.0.0.1", port, HEADERS, closes=True)
        conf = self._configure(database.port, broker.port)
        self._program("python", "-c", _CREATE_DATABASE, str(database.port))
        self._program("manila-manage", "--config-file", conf, "db", "sync")
        self._daemon("scheduler", conf)
        entry = self._folder / "application.py"
        entry.write_text(_APPLICATION.format(conf=conf), encoding="utf-8")
        uwsgi: list[str | Path] = [
            self._venv / "bin" / "uwsgi",
            "--master",
            "--processes",
            "2",
            "--http-socket",
            f"127.0.0.1:{port}",
        ]
        uwsgi += [
            "--wsgi-file",
            entry,
            "--virtualenv",
            self._venv,
            "--enable-threads",
            "--lazy-apps",
            "--die-on-term",
            "--need-app",
        ]
        uwsgi += ["--buffer-size", "65535"]
        self._parts["API"] = self._service("api", [*uwsgi, "--disable-logging"])
        self._wait(conf)

    def _configure(self, database: int, broker: int) -> Path:
        backends = _BACKEND.format(name="dummy", more="") + _BACKEND.format(
            name="single", more="max_shares_per_share_server = 1"
        )
        path = self._folder / "manila.conf"
        path.write_text(
            _CONF.format(
                venv=self._venv,
                folder=self._folder,
                broker=broker,
                database=database,
                backends=backends,
            ),
            encoding="utf-8",
        )
        (self._folder / "locks").mkdir()
        return path

    def _program(self, name: str, *arguments: str | Path) -> None:
        """Run a program of the environment to its end."""
        run = subprocess.run(
            [self._venv / "bin" / name, *arguments],
            capture_output=True,
            text=True,
            cwd=self._folder,
            check=False,
        )
        if run.returncode != 0:
            raise RuntimeError(f"{name}: {run.stderr[-3000:]}")

    def _daemon(self, name: str, conf: Path) -> programs.Program:
        part = self._parts[name] = self._service(
            name, [self._venv / "bin" / f"manila-{name}", "--config-file", conf]
        )
        return part

    def _service(self, name: str, command: list[str | Path]) -> programs.Program:
        return programs.Program(
            command,
            self._folder / f"{name}.log",
            environment={"OS_MANILA_CONFIG_DIR": str(self._folder)},
        )

    def _wait(self, conf: Path) -> None:
        """Start the share service when the scheduler listens: a report of pools that nobody hears
        is repeated only after a minute, and on a busy machine later."""
        api = self._parts["API"]
        assert isinstance(api, programs.Program)
        api.wait_for_port(self.target.port)
        client = Client(self.target)

        def scheduler() -> bool:
            services = client.ask("GET", "/v2/services")[1]["services"]
            return any(s["binary"] == "manila-scheduler" and s["state"] == "up" for s in services)

        def pools() -> bool:
            return len(client.ask("GET", "/v2/scheduler-stats/pools")[1]["pools"]) >= 2

        programs.until(lambda: client.ask("GET", "/")[0] == 300, "the API to answer")
        programs.until(scheduler, "the scheduler to be up", pause=0.5)
        prepare(
            client,
            {
                SHARE_TYPE: {"share_backend_name": "dummy"},
                SINGLE_TYPE: {"share_backend_name": "single"},
            },
        )
        # now and then its share service hangs at the start and reports nothing
        for attempt in range(1, _SHARE_STARTS + 1):
            share = self._daemon("share", conf)
            try:
                programs.until(pools, "two back ends to report their pools", 60, pause=0.5)
                return
            except TimeoutError:
                print(f"upstream's share service reported no pools (start {attempt})", flush=True)
                share.require()
                share.stop()
        raise TimeoutError(f"upstream's share service reported no pools in {_SHARE_STARTS} starts")


_CREATE_DATABASE = """
import sys, pymysql
link = pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="root")
link.cursor().execute("CREATE DATABASE manila CHARACTER SET utf8mb4")
"""

_APPLICATION = """
import sys
sys.argv = ["manila-api", "--config-file", "{conf}"]
from manila.wsgi import wsgi
application = wsgi.initialize_application()
"""


def install() -> Path:
    """A virtual environment with upstream Manila in it, made once; and the Debian packages, as
    root. Its path."""
    missing = [name for name in PACKAGES if not _is_installed(name)]
    if missing:
        if os.geteuid() != 0:
            raise SystemExit(
                f"bench-peer needs the Debian packages {', '.join(missing)}; only root can "
                "install them."
            )
        # their own services are not started
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        subprocess.run(
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing],
            check=True,
            env=quiet,
        )
    stamp = _CACHE / ".installed"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(_CACHE, ignore_errors=True)
        subprocess.run(
            [getattr(sys, "_base_executable", sys.executable), "-m", "venv", _CACHE], check=True
        )
        pip: list[str | Path] = [
            _CACHE / "bin" / "python",
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "-r",
            REQUIREMENTS,
        ]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"upstream Manila could not be installed:\n{done.stderr[-3000:]}")
        stamp.write_text(wanted, encoding="utf-8")
    return _CACHE


def _is_installed(package: str) -> bool:
    query = subprocess.run(
        ["dpkg-query", "-W", "-f=${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return query.stdout == "installed"


def _pid(part: programs.MariaDB | programs.RabbitMQ | programs.Program) -> int:
    return part.pid if isinstance(part, programs.Program) else part.program.pid
