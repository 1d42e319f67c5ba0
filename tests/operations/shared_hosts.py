"""Several workers that serve one logical host with shared storage, each in a process of its own:
fake back ends with one state file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from abaca.db.session import begin
from abaca.db.tables import service_workers, worker_leases
from abaca.domain.rows.heartbeats import is_up
from abaca.domain.services import hosts
from abaca.drivers.fake import FakeDriver
from abaca.drivers.fake.files import locked
from tests.stack import Stack, WorkerProcess, make_conf, wait_for

SERVICE = "cluster@alpha"
LEASE = 60
"""Seconds. On a busy machine a short one is lost; nobody waits for it to end (`kill`)."""


def options(state_dir: Path, host: str, **more: str) -> dict[str, dict[str, str]]:
    """Of the back end on that host. A fault plan is each host's own."""
    return {
        "alpha": {
            "backend_host": "cluster",
            "shared_storage": "true",
            "stands_on": host,
            "state_file": str(state_dir / "worker" / "alpha.json"),
            "fault_plan": str(state_dir / f"{host}.faults"),
            **more,
        }
    }


def overrides(host: str) -> dict[str, object]:
    return {
        "host": host,
        "worker.lease_seconds": LEASE,
        "worker.watch_interval": 0.5,
        "worker.retry_seconds": 0.4,
        "service_down_time": 600,
    }


def worker(
    state_dir: Path,
    url: str,
    host: str,
    environment: Mapping[str, str],
    backend: Mapping[str, str] | None = None,
    **more: object,
) -> WorkerProcess:
    own = state_dir / host
    own.mkdir(exist_ok=True)
    (own / "key").write_bytes((state_dir / "key").read_bytes())
    (own / "key").chmod(0o600)
    settings = overrides(host) | more
    return WorkerProcess(
        own, url, options(state_dir, host, **(backend or {})), environment, **settings
    )


class Hosts:
    """Played by processes on one database. `stack`: to ask and to be asked, without a worker of its
    own. `backend`, `more`: other options of their back ends, and of the workers."""

    def __init__(
        self, state_dir: Path, url: str, backend: Mapping[str, str] | None = None, **more: object
    ) -> None:
        self.state_dir, self.url = state_dir, url
        self._backend, self._more = backend, more
        (state_dir / "worker").mkdir(parents=True)
        conf = make_conf(state_dir, url, options(state_dir, "host0"), **overrides("host0"))
        self.stack = Stack(conf)
        self.stack.share_type()
        self.workers: dict[str, WorkerProcess] = {}

    def start(self, *names: str, **more: object) -> None:
        """`more`: other options of these workers."""
        for name in names:
            self.workers[name] = worker(
                self.state_dir, self.url, name, {}, self._backend, **self._more | more
            )
        for name in names:
            self.stack.wait(lambda conn, name=name: name in live(conn), 60)  # type: ignore[misc]

    def kill(self, *names: str) -> None:
        """The hosts are down when this returns, as when their leases have run out."""
        for name in names:
            self.workers.pop(name).kill()
        self.end_leases(*names)

    def hold_up(self, name: str) -> None:
        """Its worker gets no time until it may `go_on`, from a moment on in which it has neither
        the fake's file nor, on SQLite, the database to itself: others would wait for it."""
        worker = self.workers[name]
        status = Path(f"/proc/{worker.pid}/stat")
        with begin(self.stack.engine), locked(self._file):
            worker.hold_up()
            wait_for(lambda: status.read_text().rpartition(")")[2].split()[0] == "T", 10)

    def end_leases(self, *names: str) -> None:
        ended = sa.update(worker_leases).where(worker_leases.c.host.in_(names))
        self.stack.do(lambda conn: conn.execute(ended.values(expires_at=datetime(2000, 1, 1))))
        assert not any(self.stack.ask(hosts.get, name)["lives"] for name in names)

    def silence(self, *names: str) -> None:
        """These hosts answer no other from now on, and no others do so."""
        self._fake().set_dead_hosts(*names)

    def stop(self, name: str) -> None:
        self.workers.pop(name).stop()

    def look(self, *names: str) -> None:
        """Each of these looks at the others, from its beginning to its end."""
        before = self._fake().looks()
        wanted = {name: before.get(name, 0) + 2 for name in names}

        def done() -> bool:
            now = self._fake().looks()
            return all(now.get(name, 0) >= number for name, number in wanted.items())

        wait_for(done, 60)

    def world(self) -> dict[str, Any]:
        return self._fake().world()

    def _fake(self) -> FakeDriver:
        return FakeDriver("alpha", {"state_file": str(self._file)})

    @property
    def _file(self) -> Path:
        return self.state_dir / "worker" / "alpha.json"

    def close(self) -> None:
        for worker in self.workers.values():
            worker.kill()
        self.stack.close()


def live(conn: Any) -> set[str]:
    """The workers that serve the back end and are ready."""
    found = conn.execute(service_workers.select()).all()
    return {row.worker_host for row in found if is_up(row._mapping)}


@contextmanager
def played(state_dir: Path, url: str, *names: str) -> Iterator[Hosts]:
    made = Hosts(state_dir, url)
    try:
        made.start(*names)
        yield made
    finally:
        made.close()
