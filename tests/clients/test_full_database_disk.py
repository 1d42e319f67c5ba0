"""The disk below the database is full for a while: what was accepted goes on when there is room
again, and no person is needed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from abaca.drivers.fake.faults import Fault, write_plan
from tests.clients.test_hanging_driver import Client, share_network_in_use
from tests.databases import PostgresqlCluster, PostgresqlDatabases, find_postgresql
from tests.service import FAKE_BACKEND, Installation, installation, wait_until

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a full disk outlasts a lease and the patience with back ends"),
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk"),
]

SHORT_TIMES = "[worker]\nlease_seconds = 12\nretry_seconds = 15\n"
LONGER = 20
_BALLAST = "ballast"


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """A disk of that size at the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    owner = folder.stat()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0755", "tmpfs", str(folder)],
        check=True,
    )
    os.chown(folder, owner.st_uid, owner.st_gid)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    """To the last byte."""
    with open(disk / _BALLAST, "ab", buffering=0) as ballast:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                continue


def use_up(client: Client, disk: Path, share: str) -> None:
    """Fill the disk, and what the database has set aside on it, until a request is refused for
    it."""
    fill(disk)
    for number in range(3000):
        code, answer = client(
            "PUT",
            f"/v2/shares/{share}/metadata",
            {"metadata": {str(key): f"{number}".zfill(1000) for key in range(50)}},
        )
        assert code in (200, 503), answer
        if code == 503:
            return
        fill(disk)
    pytest.fail("the disk is not full")


def stopped_between_writes(worker: int, create: Callable[[], tuple[int, Any]]) -> str:
    """Stop the worker while it holds no lock of the database, which a creation shows; the id of
    what that made."""
    made: list[str] = []

    def is_free() -> bool:
        os.kill(worker, signal.SIGSTOP)
        code, answer = create()
        if code == 503:
            os.kill(worker, signal.SIGCONT)
            return False
        made.append(answer["share"]["id"])
        return True

    wait_until(is_free, "the worker to be stopped between two of its writes")
    return made[0]


@pytest.fixture(params=["sqlite", "postgresql"])
def service(
    request: pytest.FixtureRequest,
) -> Iterator[tuple[Installation, Path, PostgresqlCluster | None]]:
    """A running service, the disk that its database lies on, and its PostgreSQL."""
    with installation() as made:
        plan = f"{FAKE_BACKEND}fault_plan = {made.folder / 'faults'}\n{SHORT_TIMES}"
        if request.param == "sqlite":
            with small_disk(made.state_dir / "db", 16) as disk:
                made.configure(plan)
                made.start()
                yield made, disk, None
                made.stop()
            return
        binaries = find_postgresql()
        if binaries is None:
            pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
        cluster = PostgresqlCluster(binaries, is_durable=True)
        try:
            with small_disk(cluster.folder, 200) as disk:
                cluster.start()
                made.configure(
                    f"{plan}[database]\nconnection = {PostgresqlDatabases(cluster.port).create()}\n"
                )
                made.start()
                yield made, disk, cluster
                made.stop()
                cluster.stop()
        finally:
            cluster.stop()


@pytest.mark.parametrize(
    "seconds",
    [8, LONGER],
    ids=["shortly", "longer than a lease and than the patience with back ends"],
)
def test_a_full_disk_below_the_database(
    service: tuple[Installation, Path, PostgresqlCluster | None], seconds: int
) -> None:
    made, disk, cluster = service
    client, plan, pause = Client(made), made.folder / "faults", Event()
    in_use = share_network_in_use(client)
    used, place = (
        in_use["id"],
        {"neutron_net_id": in_use["net"], "neutron_subnet_id": in_use["subnet"]},
    )
    fresh = client.made("/v2/share-networks", {"share_network": place})["id"]

    def wanted(network: str) -> dict[str, Any]:
        return {
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
    accepted = [client.made("/v2/shares", wanted(used))["id"] for _ in range(8)]
    wait_until(plan.with_name("faults.counts").exists, "the driver's call")
    worker = made.children()["worker"]
    # its server has no addresses yet
    accepted.append(
        stopped_between_writes(worker, lambda: client("POST", "/v2/shares", wanted(fresh)))
    )
    use_up(client, disk, accepted[0])
    os.kill(worker, signal.SIGCONT)
    write_plan(plan, [])
    for _ in range(seconds):
        code, answer = client("POST", "/v2/shares", wanted(used))
        assert code in (200, 503), answer
        if code == 200:
            accepted.append(answer["share"]["id"])
        fill(disk)
        pause.wait(1)
    (disk / _BALLAST).unlink()
    if cluster is not None and cluster.has_ended():
        cluster.resume()  # it gives up by itself when there is no room for its log of changes
    wait_until(lambda: client("GET", "/v2/shares/detail")[0] == 200, "the API")
    for share in accepted:
        wait_until(
            lambda share=share: status(share) == "available",  # type: ignore[misc]
            "a share that had been accepted",
            120,
        )
    for network in (used, fresh):
        later = client.made("/v2/shares", wanted(network))["id"]
        wait_until(lambda later=later: status(later) == "available", "a new share", 120)  # type: ignore[misc]
    assert client("GET", "/v2/messages")[1] == {"messages": []}, "nobody was told of a failure"
