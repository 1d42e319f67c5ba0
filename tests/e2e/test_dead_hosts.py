"""A host dies, nobody does anything, and a client goes on: `[failover] enabled`, with real NFS
servers, a real Ceph and echo requests between real network namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from abaca.domain.services import hosts
from tests.ceph_cluster import Ceph
from tests.contracts.drivers.linux_backend import unavailable_reason
from tests.databases import Databases
from tests.e2e.test_moved_servers import LEASE, assert_went_on, scene_on
from tests.nfs4.writer import writing
from tests.played_hosts import Town, on_ceph, town
from tests.service import wait_until
from tests.stack import initialise

pytestmark = [
    pytest.mark.sampled_file(4),
    pytest.mark.root,
    pytest.mark.slow("two workers, a Ceph, and a client that waits for a lease to end"),
    pytest.mark.timeout(400),
]

UNDERLAY = "10.99.9.{}/24"


@pytest.fixture
def two_hosts(tmp_path: Path, postgresql_databases: Databases, ceph: Ceph) -> Iterator[Town]:
    if reason := unavailable_reason():
        pytest.skip(reason)
    url = postgresql_databases.create_from(initialise)
    more: dict[str, Any] = {
        "worker.lease_seconds": LEASE,
        "worker.watch_interval": 1.0,
        "failover.enabled": True,
        "failover.delay_seconds": 5.0,
    }
    with town(tmp_path, url, UNDERLAY, 2, on_ceph(ceph), **more) as made:
        yield made


def test_a_client_goes_on_when_a_host_dies_and_nobody_is_there(two_hosts: Town) -> None:
    scene = scene_on(two_hosts)
    old, new = scene.old, scene.new

    def refusal() -> str:
        return str(new.stack.ask(hosts.get, old.name)["failover_refusal"])

    machine, other = scene.machine(new, "w1", 20), scene.machine(new, "w2", 21)
    with writing(machine, scene.path) as writer:
        # its worker alone is dead: it answers, and is left alone
        old.cut_off()
        wait_until(lambda: "it answers at" in refusal(), refusal, 120)
        assert "tunnel" in refusal() and old.file_server(scene.server)
        before = writer.written
        wait_until(lambda: writer.has_gone_on(before), lambda: f"{writer.written}", 30)
        old.lose_power()
        new.takes_over(scene.server)
        assert_went_on(writer, other, scene.path)
    view = new.stack.ask(hosts.get, old.name)
    assert view["state"] == "fenced"
    assert f"taken for dead by host {new.name}" in str(view["state_reason"])
