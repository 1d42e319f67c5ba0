"""A whole Abaca for tests: a migrated database, a configuration with fake back ends, and workers,
in this process or in their own.

What a test asks for goes through the domain's functions, in transactions, as the API does.
"""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import Connection, Engine

from abaca import config
from abaca.db import migrations
from abaca.db.encryption import new_key
from abaca.db.session import begin, create_engine, read
from abaca.db.tables import metadata
from abaca.domain.backups import share_backups
from abaca.domain.local_networks import local_networks, local_subnets
from abaca.domain.network_changes import share_network_checks, subnet_additions, subnet_removals
from abaca.domain.network_changes.share_network_checks import PendingCheck
from abaca.domain.network_changes.subnet_additions import SubnetRequest
from abaca.domain.rows import states
from abaca.domain.share_groups import share_group_snapshots, share_groups
from abaca.domain.share_networks import share_networks
from abaca.domain.share_types import share_types
from abaca.domain.shares import share_creation, share_export_locations, shares
from abaca.domain.shares.share_requests import ShareRequest
from abaca.domain.snapshots import snapshots
from abaca.drivers.fake import FakeDriver
from abaca.errors import Missing
from abaca.values import Caller
from abaca.worker import process
from abaca.worker.process import Worker
from abaca.workflow import dbos_database
from tests import compiled_statements
from tests.databases import fold_write_ahead_log
from tests.service import PATIENCE

compiled_statements.share()

T = TypeVar("T")

ADMIN = Caller(user_id="admin", project_id="admin-project", roles=("admin",), is_admin=True)
MEMBER = Caller(user_id="member", project_id="project", roles=("member",))

OF_SERVERS = ((160, 198), (202, 250))
"""First and last parts of the addresses that share servers get in a /24."""

_pause = Event()


def write_key(path: Path) -> None:
    """A new key file that nobody else may read."""
    path.write_text(new_key())
    path.chmod(0o600)


def initialise(url: str) -> None:
    """The schema in an empty database: for `template_database`."""
    migrations.upgrade(url)
    dbos_database.migrate(url)


@functools.cache
def _initialised() -> bytes:
    """An SQLite database with the schema. To migrate one takes most of a second of CPU."""
    with tempfile.TemporaryDirectory(prefix="abaca-tests-") as folder:
        file = Path(folder, "abaca.db")
        initialise(f"sqlite:///{file}")
        fold_write_ahead_log(file)
        return file.read_bytes()


def sqlite_database(file: Path) -> str:
    """The URL of a new database with the schema in that file: for tests that have no
    `template_database`."""
    file.write_bytes(_initialised())
    return f"sqlite:///{file}"


def make_conf(
    state_dir: Path,
    url: str,
    backends: Mapping[str, Mapping[str, str]] | None = None,
    **overrides: object,
) -> cfg.ConfigOpts:
    """A configuration with back ends, name → options; they are fake unless `share_driver` says
    otherwise. Times are short."""
    backends = {"alpha": {}} if backends is None else backends
    path, key = state_dir / "abaca.conf", state_dir / "key"
    if not key.exists():
        write_key(key)
    lines = []
    for name, options in backends.items():
        lines += [
            f"[{name}]",
            *(
                f"{option} = {value}"
                for option, value in {"share_driver": "fake", **options}.items()
            ),
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config.load(
        [str(path)],
        {
            "state_dir": str(state_dir),
            "host": "host1",
            "service_down_time": 20 * PATIENCE,
            "enabled_share_backends": list(backends),
            "database.connection": url,
            "worker.poll_interval": 0.02,
            "worker.report_interval": 1.0,
            "worker.retry_seconds": 1.0,
            **overrides,
        },
    )


class Stack:
    """An installation whose worker may run or not. `conf`, `engine`; every wait is bounded."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.conf = conf
        self.engine: Engine = create_engine(config.database_url(conf))

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def working(self) -> Iterator[Worker]:
        """A worker in this process."""
        worker = Worker(self.conf)
        worker.start()
        try:
            yield worker
        finally:
            for backend in worker.backends:
                if isinstance(backend.driver, FakeDriver):
                    # a call that hangs would keep the process of the tests
                    backend.driver.faults.released.set()
            worker.stop()

    def do(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """`function(conn, …)` in a transaction."""
        with begin(self.engine) as conn:
            return function(conn, *args, **kwargs)

    def ask(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """`function(conn, …)`, reading."""
        with read(self.engine) as conn:
            return function(conn, *args, **kwargs)

    def wait(self, question: Callable[[Connection], T], seconds: float = 20) -> T:
        """Ask until the answer is true; fails with the last answer."""
        return wait_for(lambda: self.ask(question), seconds)

    # --- what tests build on ----------------------------------------------------------------------

    def network(self, *cidrs: str, caller: Caller = MEMBER) -> list[tuple[str, str]]:
        """A local network with these subnets; (network id, subnet id) of each. In a /24, share
        servers get those of `OF_SERVERS`, so tests' machines may have others."""
        network = self.do(local_networks.create, caller, name="net")
        return [
            (
                network["id"],
                self.do(
                    local_subnets.create,
                    caller,
                    network_id=network["id"],
                    cidr=cidr,
                    ip_version=6 if ":" in cidr else 4,
                    allocation_pools=_allocation_pools(cidr),
                )["id"],
            )
            for cidr in cidrs
        ]

    def share_type(self, name: str = "default", **specs: str) -> str:
        """A public share type, with driver_handles_share_servers=True unless `specs` say otherwise;
        its id."""
        extra_specs = {"driver_handles_share_servers": "True", **specs}
        view = self.do(
            share_types.create,
            ADMIN,
            name=name,
            description=None,
            is_public=True,
            extra_specs=extra_specs,
        )
        return str(view["id"])

    def share_network(self, *subnets: tuple[str, str], caller: Caller = MEMBER) -> str:
        """A share network with these (network id, subnet id) as default subnets; its id."""
        net, subnet = subnets[0]
        view = self.do(
            share_networks.create,
            caller,
            name="sn",
            description=None,
            neutron_net_id=net,
            neutron_subnet_id=subnet,
        )
        for pair in subnets[1:]:
            self.add_subnet(view["id"], pair, caller=caller)
        return str(view["id"])

    def add_subnet(
        self,
        share_network_id: str,
        pair: tuple[str, str],
        caller: Caller = MEMBER,
        zone: str | None = None,
    ) -> dict[str, Any]:
        """Add a subnet as the API does: ask again while the check is pending."""
        wanted = SubnetRequest(
            neutron_net_id=pair[0], neutron_subnet_id=pair[1], availability_zone=zone
        )
        return self.repeated(
            lambda conn: subnet_additions.add(
                conn, caller, share_network_id, wanted, multiple_allowed=True
            )
        )

    def remove_subnet(self, share_network_id: str, subnet_id: str, caller: Caller = ADMIN) -> None:
        """Take a subnet away, with shares on it or not, as the API does."""
        self.repeated(lambda conn: subnet_removals.begin(conn, caller, share_network_id, subnet_id))

    def repeated(self, attempt: Callable[[Connection], T | PendingCheck]) -> T:
        """What it comes to; it is asked again while a check of the drivers is pending."""
        while True:
            outcome = self.do(attempt)
            if not isinstance(outcome, PendingCheck):
                return outcome
            self.wait(
                lambda conn, check_id=outcome.id: (  # type: ignore[misc]
                    not share_network_checks.is_pending(conn, check_id)
                )
            )

    def checked(
        self, share_network_id: str, pair: tuple[str, str], caller: Caller = MEMBER
    ) -> None:
        """Have the drivers asked about a subnet, and answered."""
        wanted = SubnetRequest(neutron_net_id=pair[0], neutron_subnet_id=pair[1])
        self.wait(
            lambda _: (
                self.do(
                    subnet_additions.check, caller, share_network_id, wanted, reset_operation=False
                )["compatible"]
                is not None
            )
        )

    def share(
        self,
        share_network_id: str | None,
        size: int = 1,
        share_type: str = "default",
        caller: Caller = MEMBER,
        **more: Any,
    ) -> str:
        """Ask for a share; its id."""
        request = ShareRequest(
            share_proto="NFS",
            size=size,
            share_type=share_type,
            share_network_id=share_network_id,
            **more,
        )
        return str(self.do(share_creation.create, caller, request)["id"])

    def settled_share(self, share_id: str) -> str:
        """The status of a share once nothing goes on with it; `gone` when it is deleted."""

        def status(conn: Connection) -> str | None:
            try:
                found = str(shares.get(conn, ADMIN, share_id)["status"])
            except Missing:
                return "gone"
            return (
                None
                if found
                in (
                    "creating",
                    "deleting",
                    "deferred_deleting",
                    "extending",
                    "shrinking",
                    "reverting",
                    "manage_starting",
                    "unmanage_starting",
                    "backup_creating",
                    "backup_restoring",
                )
                else found
            )

        return self.wait(status) or ""

    def snapshot(self, share_id: str, caller: Caller = MEMBER) -> str:
        """Ask for a snapshot of a share; its id."""
        return str(self.do(snapshots.create, caller, share_id)["id"])

    def settled_snapshot(self, snapshot_id: str) -> str:
        """The status of a snapshot once nothing goes on with it; `gone` when it is deleted."""

        def status(conn: Connection) -> str | None:
            try:
                found = str(snapshots.get(conn, ADMIN, snapshot_id)["status"])
            except Missing:
                return "gone"
            return None if found in states.IN_PROGRESS else found

        return self.wait(status) or ""

    def backup(self, share_id: str, caller: Caller = MEMBER, **more: Any) -> str:
        """Ask for a backup of a share; its id."""
        return str(self.do(share_backups.create, caller, share_id, **more)["id"])

    def settled_backup(self, backup_id: str) -> str:
        """The status of a backup once nothing goes on with it; `gone` when it is deleted."""

        def status(conn: Connection) -> str | None:
            try:
                found = str(share_backups.get(conn, ADMIN, backup_id)["status"])
            except Missing:
                return "gone"
            return None if found in ("creating", "deleting", "restoring") else found

        return self.wait(status) or ""

    def settled_group(self, group_id: str) -> str:
        """The status of a share group once it is not being made any more."""

        def status(conn: Connection) -> str | None:
            found = str(share_groups.get(conn, ADMIN, group_id)["status"])
            return None if found == "creating" else found

        return self.wait(status) or ""

    def settled_group_snapshot(self, group_snapshot_id: str) -> str:
        """The status of a group snapshot once nothing is done to it; `gone` if it is not there."""

        def status(conn: Connection) -> str | None:
            try:
                found = share_group_snapshots.get(conn, ADMIN, group_snapshot_id)
            except Missing:
                return "gone"
            now = str(found["status"])
            return None if now in ("creating", "deleting") else now

        return self.wait(status) or ""

    def settled_network(self, share_network_id: str) -> str:
        """The status of a share network once its change is over."""

        def status(conn: Connection) -> str | None:
            found = str(share_networks.get(conn, ADMIN, share_network_id)["status"])
            return None if found == "network_change" else found

        return self.wait(status) or ""

    def paths(self, share_id: str) -> list[str]:
        """The export paths of a share in their order."""
        return [
            location["path"] for location in self.ask(share_export_locations.find, ADMIN, share_id)
        ]

    def rows(self) -> dict[str, int]:
        """Rows by table, empty tables left out."""
        with read(self.engine) as conn:
            counted = {
                t.name: conn.scalar(sa.select(sa.func.count()).select_from(t)) or 0
                for t in metadata.sorted_tables
            }
        return {name: number for name, number in counted.items() if number}


def _allocation_pools(cidr: str) -> list[tuple[str, str]] | None:
    if not cidr.endswith(".0/24"):
        return None
    start = ip_address(cidr.partition("/")[0])
    return [(str(start + first), str(start + last)) for first, last in OF_SERVERS]


def wait_for(question: Callable[[], T], seconds: float = 20) -> T:
    """Ask until the answer is true; fails with the last answer after so many seconds, on a busy
    machine `PATIENCE` times as many."""
    seconds *= PATIENCE
    deadline, pause = time.monotonic() + seconds, 0.01
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s; the last answer was {answer!r}")
        _pause.wait(pause)
        pause = min(1.5 * pause, 0.05)  # a question costs some milliseconds of CPU


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """What crash points of this process are to do meanwhile."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


# --- workers in processes of their own ------------------------------------------------------------


NETNS = "ABACA_TEST_NETNS"


def enter(netns: str) -> None:
    """Go into a network namespace, for threads that are started later, too."""
    with open(f"/run/netns/{netns}", "rb") as handle:
        assert ctypes.CDLL(None).setns(handle.fileno(), 0x40000000) == 0, netns


_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.stack"])


def _work(
    arguments: tuple[Path, str, Mapping[str, Mapping[str, str]], Mapping[str, object]],
    environment: Mapping[str, str],
) -> None:
    os.environ.update(environment)
    if NETNS in environment:
        enter(environment[NETNS])
    state_dir, url, backends, overrides = arguments
    process.run(make_conf(state_dir, url, backends, **overrides))


class WorkerProcess:
    """A worker in a process of its own, with these environment variables, and in the network
    namespace that NETNS among them names. It can be killed, and found dead."""

    def __init__(
        self,
        state_dir: Path,
        url: str,
        backends: Mapping[str, Mapping[str, str]],
        environment: Mapping[str, str] | None = None,
        **overrides: object,
    ) -> None:
        self._process = _processes.Process(
            target=_work,
            args=((state_dir, url, backends, overrides), dict(environment or {})),
            daemon=True,
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: killed by that signal."""
        return self._process.exitcode

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that does not help in time."""
        self._process.terminate()
        self._process.join(timeout=process.STOP_SECONDS + 10)
        self.kill()

    def hold_up(self) -> None:
        """It gets no time until it may `go_on`."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.join(timeout=10)
