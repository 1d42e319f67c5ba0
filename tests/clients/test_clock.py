"""The clock of the service is set forward and back, while it works: nothing is stuck, and no worker
takes another's place.

The processes see another time than the machine, by libfaketime; the machine's own clock is left
alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from abaca.db.session import create_engine, read, utcnow
from abaca.db.tables import services
from tests.clients.test_hanging_driver import Client, share_network_in_use
from tests.databases import PostgresqlDatabases
from tests.service import FAKE_BACKEND, arguments_of, installation, wait_until
from tests.stack import initialise

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a service, and the pauses of its supervisor"),
    pytest.mark.timeout(300),
]

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
needs_library = pytest.mark.skipif(
    not LIBRARIES, reason="libfaketime is not installed (Debian: libfaketime)"
)
HOUR = 3600
CONFIG = (
    # a busy machine may keep a worker from its heartbeat for seconds: it is not down for that
    f"{FAKE_BACKEND}pools = pool:100\n"
    "[DEFAULT]\nservice_down_time = 15\n[worker]\nreport_interval = 0.5\n"
)


class Clock:
    """The time that processes with `environment` see: the machine's and `offset` seconds."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset:+d}")
        new.chmod(0o644)
        new.replace(self._file)


@needs_library
def test_a_clock_that_is_set_forward_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with installation(config_text=CONFIG) as made:
        clock = Clock(made.folder)
        with monkeypatch.context() as patched:
            for name, value in clock.environment.items():
                patched.setenv(name, value)
            made.start()
        client = Client(made)
        network = share_network_in_use(client)
        children = made.children()
        engine = create_engine(f"sqlite:///{made.state_dir / 'db' / 'abaca.sqlite'}")

        def seen() -> timedelta:
            with read(engine) as conn:
                seen_at: datetime = conn.execute(sa.select(services.c.updated_at)).scalar_one()
                return seen_at - utcnow()

        def state() -> str:
            return str(client("GET", "/v2/services")[1]["services"][0]["state"])

        for offset in (HOUR, -HOUR, 2 * HOUR):
            clock.set(offset)
            wait_until(
                lambda: abs(seen() - timedelta(seconds=offset)) < timedelta(seconds=60),  # noqa: B023
                f"heartbeats at {offset}",
            )
            wait_until(lambda: state() == "up", "the back end")
            wanted = {
                "share": {
                    "share_proto": "NFS",
                    "size": 1,
                    "share_type": "default",
                    "share_network_id": network["id"],
                }
            }
            share = f"/v2/shares/{client.made('/v2/shares', wanted)['id']}"
            wait_until(
                lambda: client("GET", share)[1]["share"]["status"] == "available",  # noqa: B023
                "the share",
            )
            assert client("DELETE", share)[0] == 202
            wait_until(lambda: client("GET", share)[0] == 404, "its deletion")  # noqa: B023
        assert made.children() == children, "nobody lost a lease or was started again"

        # its last heartbeat is of a future that the clock leaves now
        os.kill(children["worker"], signal.SIGSTOP)
        try:
            clock.set(0)
            wait_until(lambda: state() == "down", "the back end to be down")
        finally:
            os.kill(children["worker"], signal.SIGCONT)
        wait_until(lambda: state() == "up", "the back end to be up again")
        os.kill(children["worker"], signal.SIGKILL)
        wait_until(
            lambda: made.children().get("worker", children["worker"]) != children["worker"],
            "another worker",
        )
        wait_until(
            lambda: state() == "up" and not arguments_of(children["worker"]),
            "the next worker's back end",
        )
        engine.dispose()


TAKE_THE_LEASE = """
import sys
from pathlib import Path
from abaca.db.session import create_engine
from abaca.errors import Conflict
from abaca.worker.lease import Lease
engine = create_engine(sys.argv[1])
try:
    Lease(engine, "host1", 30, Path(sys.argv[2])).acquire()
except Conflict as conflict:
    sys.exit(conflict.message)
"""


@needs_library
@pytest.mark.parametrize("offset", [HOUR, -HOUR])
def test_a_machine_whose_clock_is_wrong_takes_no_lease_before_its_time(
    offset: int, postgresql_databases: PostgresqlDatabases, tmp_path: Path
) -> None:
    """And leaves none behind that others would have to wait for."""
    url = postgresql_databases.create_from(initialise)
    clock = Clock(tmp_path)
    clock.set(offset)

    def take() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", TAKE_THE_LEASE, url, str(tmp_path / "lock")]
        return subprocess.run(
            command,
            env={**os.environ, **clock.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    engine = create_engine(url)
    rows = (
        "INSERT INTO worker_leases (host, machine, token, expires_at) VALUES ('host1', "
        "'another', 7, :until)"
    )
    with engine.begin() as conn:
        conn.execute(sa.text(rows), {"until": utcnow() + timedelta(seconds=60)})
    refused = take()
    assert refused.returncode == 1 and "Another machine serves the worker host" in refused.stderr
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE worker_leases SET expires_at = :until"), {"until": utcnow()})
    assert take().returncode == 0
    with read(engine) as conn:
        left = conn.scalar(sa.text("SELECT expires_at FROM worker_leases")) - utcnow()
    assert timedelta(0) < left <= timedelta(seconds=31)
    engine.dispose()
    postgresql_databases.drop(url)
