"""/metrics and /healthcheck over a PostgreSQL that ends connections, has none left, goes and comes
back, while many ask."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from threading import Event, Thread

import psycopg
import pytest

from tests.api_process import Server, serving
from tests.databases import PostgresqlCluster, PostgresqlDatabases, find_postgresql
from tests.raw_http import Connection, basic, request
from tests.stack import initialise, wait_for

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a database that does not answer is waited for"),
    pytest.mark.timeout(180),
]

ROOT = basic("root", "pw")
ASKED = {
    "metrics": request("GET", "/metrics", credentials=ROOT),
    "healthcheck": request("GET", "/healthcheck"),
    "shares": request("GET", "/v2/shares/detail", credentials=ROOT),
    "limits": request("GET", "/v2/limits", credentials=ROOT),
}
CLIENTS = 6
# in none of this anything waits for long: a database that is away is told at once
LONGEST_SECONDS = 20.0


class Askers:
    """Clients that ask for one after the other without pause; what they were answered with, and how
    long that took."""

    def __init__(self, server: Server) -> None:
        self._port = server.port
        self._ending = Event()
        self.statuses: defaultdict[str, set[int]] = defaultdict(set)
        self.longest = 0.0
        self._threads = [Thread(target=self._ask, daemon=True) for _ in range(CLIENTS)]

    @contextmanager
    def asking(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._ending.set()
            for thread in self._threads:
                thread.join(60)

    def _ask(self) -> None:
        for name, data in cycle(ASKED.items()):
            if self._ending.is_set():
                return
            began = time.monotonic()
            with contextlib.suppress(TimeoutError), Connection(self._port, 60) as connection:
                connection.send(data)
                answer = connection.answer()
                self.statuses[name].add(answer.status if answer else 0)
            self.longest = max(self.longest, time.monotonic() - began)


@pytest.fixture
def cluster() -> Iterator[PostgresqlCluster]:
    binaries = find_postgresql()
    if binaries is None:
        pytest.skip("PostgreSQL is missing (Debian: postgresql)")
    made = PostgresqlCluster(binaries)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_metrics_are_answered_whatever_the_database_does(cluster: PostgresqlCluster) -> None:
    url = PostgresqlDatabases(cluster.port).create_from(initialise)
    with serving(url) as server:
        server.start()
        askers = Askers(server)
        with askers.asking():
            _end_connections(cluster, times=40)
            _take_all_connections(cluster)
            cluster.crash()
            wait_for(lambda: b"abaca_database_up 0.0" in server.ask("GET", "/metrics")[1], 30)
            cluster.resume()
            wait_for(lambda: b"abaca_database_up 1.0" in server.ask("GET", "/metrics")[1], 30)
        assert askers.statuses.pop("metrics") == {200}, server.said()[-3000:]
        assert askers.statuses.pop("healthcheck") == {200}
        assert all(found <= {200, 503} for found in askers.statuses.values()), askers.statuses
        assert askers.longest < LONGEST_SECONDS


def _end_connections(cluster: PostgresqlCluster, times: int) -> None:
    """Half of those of the service, again and again."""
    with psycopg.connect(
        host="127.0.0.1", port=cluster.port, user="postgres", dbname="postgres", autocommit=True
    ) as admin:
        for _ in range(times):
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE "
                "'abaca%' AND random() < 0.5"
            )


def _take_all_connections(cluster: PostgresqlCluster) -> None:
    """For a moment: then the service's own are ended, so that it has to make new ones, and finds
    none free."""
    with ExitStack() as held:
        admin = held.enter_context(
            psycopg.connect(
                host="127.0.0.1",
                port=cluster.port,
                user="postgres",
                dbname="postgres",
                autocommit=True,
            )
        )
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                held.enter_context(
                    psycopg.connect(
                        host="127.0.0.1", port=cluster.port, user="postgres", dbname="postgres"
                    )
                )
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'abaca%'"
        )
        Event().wait(1)
