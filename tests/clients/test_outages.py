"""Outages around a running service: the database goes away in the middle of work and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import pytest

from abaca.drivers.fake.faults import Fault, write_plan
from tests.clients.test_hanging_driver import Client, share_network_in_use
from tests.databases import PostgresqlCluster, PostgresqlDatabases, find_postgresql
from tests.service import FAKE_BACKEND, Installation, installation, wait_until

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a database is away for longer than what depends on it waits"),
    pytest.mark.timeout(400),
]

OUTAGE_SECONDS = 35  # longer than a worker keeps its lease without renewing it


@pytest.fixture
def cluster() -> Iterator[PostgresqlCluster]:
    binaries = find_postgresql()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    made = PostgresqlCluster(binaries, is_durable=True)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def service(cluster: PostgresqlCluster) -> Iterator[Installation]:
    with installation() as made:
        url = PostgresqlDatabases(cluster.port).create()
        (made.folder / "abaca.conf").write_text(
            f"{FAKE_BACKEND}fault_plan = {made.folder / 'faults'}\n[database]\nconnection = {url}\n"
        )
        made.start()
        yield made


def test_a_database_that_is_away_for_long(
    service: Installation, cluster: PostgresqlCluster
) -> None:
    """What ran goes on when it is back, the work that ended meanwhile included; requests are
    answered with 503 until then."""
    client, plan = Client(service), service.folder / "faults"
    network = share_network_in_use(client)["id"]
    wanted = {
        "share": {
            "share_proto": "NFS",
            "size": 1,
            "share_type": "default",
            "share_network_id": network,
        }
    }

    def status(share: str) -> str:
        return str(client("GET", f"/v2/shares/{share}")[1].get("share", {}).get("status"))

    write_plan(plan, [Fault(method="create_share", error="hang")])
    running = client("POST", "/v2/shares", wanted)[1]["share"]["id"]
    wait_until(plan.with_name("faults.counts").exists, "the driver's call")
    cluster.crash()
    write_plan(plan, [])
    pause = Event()
    for _ in range(OUTAGE_SECONDS):
        code, answer = client("GET", "/v2/shares/detail")
        assert code == 503, answer
        pause.wait(1)
    cluster.resume()
    wait_until(lambda: client("GET", "/v2/shares/detail")[0] == 200, "the API")
    wait_until(lambda: status(running) == "available", "the share that was being made", 120)
    later = client("POST", "/v2/shares", wanted)[1]["share"]["id"]
    wait_until(lambda: status(later) == "available", "a new share")
