"""The service with its fake back end, an attacking project, and an honest one that makes and
deletes shares without pause."""

from __future__ import annotations

import base64
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Lock, Thread
from typing import Any

import sqlalchemy as sa

from abaca.db.session import create_engine, read
from abaca.drivers.fake.faults import write_plan
from tests.attack.honest import Watched
from tests.clients.test_hanging_driver import Client, share_network_in_use
from tests.databases import PostgresqlCluster, PostgresqlDatabases, find_postgresql
from tests.service import FAKE_BACKEND, Installation, installation

HONEST = "other project"
PASSWORD = "honest-and-long"
ANSWER_SECONDS = 60.0
_pause = Event()


class Tenant(Client):
    """A member of a project of its own, over HTTP."""

    def __init__(self, made: Installation, name: str) -> None:
        super().__init__(made)
        adding = [
            *made.command("user", "add", name),
            "--project",
            f"project-{name}",
            "--role",
            "member",
            "--password-stdin",
        ]
        subprocess.run(
            adding, input=PASSWORD, text=True, check=True, stdout=subprocess.DEVNULL, timeout=60
        )
        self._headers = {
            **self._headers,
            "Authorization": f"Basic {base64.b64encode(f'{name}:{PASSWORD}'.encode()).decode()}",
        }

    def status(self, share: str) -> str:
        """`gone` when it is deleted."""
        code, answer = self("GET", f"/v2/shares/{share}")
        return "gone" if code == 404 else str(answer.get("share", {}).get("status"))

    def share_network(self, cidr: str) -> str:
        """On a local network of its own; its id."""
        net = self.made("/network/v2.0/networks", {"network": {"name": "net"}})["id"]
        subnet = self.made(
            "/network/v2.0/subnets", {"subnet": {"network_id": net, "cidr": cidr, "ip_version": 4}}
        )["id"]
        return str(
            self.made(
                "/v2/share-networks",
                {"share_network": {"neutron_net_id": net, "neutron_subnet_id": subnet}},
            )["id"]
        )

    def share(self, share_network: str) -> str:
        """Asked for; its id."""
        wanted = {
            "share_proto": "NFS",
            "size": 1,
            "share_type": "default",
            "share_network_id": share_network,
        }
        return str(self.made("/v2/shares", {"share": wanted})["id"])

    def until(self, share: str, status: str) -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while self.status(share) != status:
            assert time.monotonic() < deadline, (
                f"the share is {self.status(share)}, not {status}, after {ANSWER_SECONDS:g} s"
            )
            _pause.wait(0.02)


class Stage:
    """`made`, `attacker`; `plan`: the fault plan of the back end."""

    def __init__(self, made: Installation) -> None:
        self.made, self.plan = made, made.folder / "faults"
        self.admin = Client(made)
        share_network_in_use(self.admin)
        self.attacker = Tenant(made, "attacker")
        self._honest = Tenant(made, "honest")
        self._network = self._honest.share_network("10.2.0.0/24")
        self._lock = Lock()
        self._times: list[float] = []
        self._errors: list[str] = []
        self._began: float | None = None
        self.ending = Event()
        self._work()  # the first one takes longer: its server is set up
        Thread(target=self._go_on, daemon=True).start()

    def watched(self) -> dict[str, Watched]:
        """What the honest project saw since this was asked last: from asking for a share to its
        being available."""
        with self._lock:
            times, errors = sorted(self._times), self._errors
            self._times, self._errors = [], []
            # what is not there yet counts, too
            waiting = time.monotonic() - self._began if self._began else 0.0
        longest = max([*times, waiting])
        return {
            HONEST: Watched(
                len(times), errors, 0, times[int(len(times) * 0.99)] if times else waiting, longest
            )
        }

    def honest_server(self) -> str:
        """The share server of the honest project."""
        (server,) = self.admin("GET", f"/v2/share-servers?share_network_id={self._network}")[1][
            "share_servers"
        ]
        return str(server["id"])

    def stored_bytes(self) -> int:
        """What is recorded of the steps of work."""
        found = re.search(
            r"^connection = (.*)$", (self.made.folder / "abaca.conf").read_text(), re.M
        )
        engine = create_engine(
            found[1] if found else f"sqlite:///{self.made.state_dir}/db/abaca.sqlite", pool_size=1
        )
        table = "dbos.operation_outputs" if found else "operation_outputs"
        try:
            with read(engine) as conn:
                return conn.scalar(sa.text(f"SELECT sum(length(output)) FROM {table}")) or 0
        finally:
            engine.dispose()

    def _go_on(self) -> None:
        while not self.ending.is_set():
            try:
                self._work()
            except (AssertionError, OSError) as error:
                with self._lock:
                    self._errors.append(repr(error))

    def _work(self) -> None:
        self._began = time.monotonic()
        share = self._honest.share(self._network)
        self._honest.until(share, "available")
        with self._lock:
            self._times.append(time.monotonic() - self._began)
            self._began = None
        self._honest("DELETE", f"/v2/shares/{share}")
        self._honest.until(share, "gone")


@contextmanager
def work_stage(kind: str) -> Iterator[Any]:
    with ExitStack() as opened:
        made = opened.enter_context(installation())
        settings = (
            f"{FAKE_BACKEND}fault_plan = {made.folder / 'faults'}\n[quota]\nshare_networks "
            "= 200\nshares = 500\n"
        )
        if kind == "postgresql":
            binaries = find_postgresql()
            assert binaries is not None, "PostgreSQL is missing (Debian: postgresql)"
            cluster = PostgresqlCluster(binaries)
            opened.callback(cluster.stop)
            cluster.start()
            settings += f"[database]\nconnection = {PostgresqlDatabases(cluster.port).create()}\n"
        made.configure(settings)
        made.start()
        opened.callback(made.stop)
        stage = Stage(made)
        yield stage
        write_plan(stage.plan, [])
        stage.ending.set()
