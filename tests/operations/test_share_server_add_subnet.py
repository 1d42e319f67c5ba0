"""share_server_add_subnet by itself; who may ask for it and how it fails is in
`test_subnet_additions`."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from abaca import config
from abaca.db.tables import services
from abaca.drivers.fake.faults import Fault
from tests.operations.conftest import Install
from tests.operations.scene import (
    RETRIED,
    addresses,
    all_servers,
    available_share,
    network,
    plan,
    server,
    server_of,
    struck,
    told,
    world,
)
from tests.stack import Stack, WorkerProcess, wait_for

UPDATE = "update_share_server_network_allocations"


def test_what_passes_is_tried_again(stack: Stack) -> None:
    pairs = stack.network("10.1.0.0/24", "10.2.0.0/24", "fd00:3::/64")
    share_network = stack.share_network(pairs[0])
    id_ = available_share(stack, share_network)
    for pair, error in zip(pairs[1:], RETRIED, strict=True):
        plan(stack, Fault(method=UPDATE, error=error, times=1, when="after"))  # type: ignore[arg-type]
        stack.add_subnet(share_network, pair)
        assert stack.settled_network(share_network) == "active"
        assert struck(stack) == 1
    assert len(stack.paths(id_)) == 3
    assert told(stack) == []


def test_as_many_addresses_as_the_driver_needs(install: Install) -> None:
    stack = install({"alpha": {"network_allocations_number": "2"}})
    with stack.working():
        first, second = stack.network("10.1.0.0/24", "fd00:2::/64")
        share_network = stack.share_network(first)
        id_ = available_share(stack, share_network)
        stack.add_subnet(share_network, second)
        assert stack.settled_network(share_network) == "active"
        assert addresses(stack) == 4
        assert [path.startswith("[") for path in stack.paths(id_)] == [False, False, True, True]
        there = world(stack)["servers"][server_of(stack, id_)]["network_info"]
        assert [len(entry["network_allocations"]) for entry in there] == [2, 2]
        details = server(stack, server_of(stack, id_))["backend_details"]
        assert len(details["addresses"].split(",")) == 4, "the details are the new ones"


def test_the_network_is_active_when_the_last_server_is(install: Install) -> None:
    stack = install(
        {"alpha": {"availability_zone": "zone-a"}, "beta": {"availability_zone": "zone-b"}}
    )
    with stack.working():
        first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
        share_network = stack.share_network(first)
        slow, quick = (
            available_share(stack, share_network, availability_zone=zone)
            for zone in ("zone-a", "zone-b")
        )
        plan(stack, Fault(method=UPDATE, error="hang"))
        stack.add_subnet(share_network, second)
        wait_for(lambda: server(stack, server_of(stack, quick))["status"] == "active")
        assert len(stack.paths(quick)) == 2
        assert server(stack, server_of(stack, slow))["status"] == "network_change"
        assert network(stack, share_network)["status"] == "network_change"
        plan(stack)
        assert stack.settled_network(share_network) == "active"
        assert {row.status for row in all_servers(stack)} == {"active"}


def test_servers_are_changed_side_by_side(install: Install) -> None:
    stack = install(
        {"alpha": {"availability_zone": "zone-a"}, "beta": {"availability_zone": "zone-b"}}
    )
    with stack.working():
        first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
        share_network = stack.share_network(first)
        for zone in ("zone-a", "zone-b"):
            available_share(stack, share_network, availability_zone=zone)
        for backend in ("alpha", "beta"):
            plan(stack, Fault(method=UPDATE, error="hang"), backend=backend)
        stack.add_subnet(share_network, second)
        wait_for(lambda: struck(stack, "alpha") and struck(stack, "beta"))
        assert {row.status for row in all_servers(stack)} == {"network_change"}, "neither has ended"
        for backend in ("alpha", "beta"):
            plan(stack, backend=backend)
        assert stack.settled_network(share_network) == "active"


def test_each_server_is_changed_on_its_own_host(
    install: Install, database_kind: str, tmp_path: Path
) -> None:
    if database_kind == "sqlite":
        pytest.skip("SQLite serves one worker host")
    stack = install({"alpha": {"availability_zone": "zone-a"}})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    process = WorkerProcess(
        elsewhere,
        config.database_url(stack.conf),
        {"beta": {"availability_zone": "zone-b"}},
        host="host2",
    )
    try:
        with stack.working():
            stack.wait(
                lambda conn: (
                    conn.scalar(
                        sa.select(sa.func.count()).select_from(services).where(services.c.is_ready)
                    )
                    == 2
                )
            )
            first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
            share_network = stack.share_network(first)
            ids = [
                available_share(stack, share_network, availability_zone=zone)
                for zone in ("zone-a", "zone-b")
            ]
            stack.add_subnet(share_network, second)
            assert stack.settled_network(share_network) == "active"
            assert {(row.host, row.status) for row in all_servers(stack)} == {
                ("host1@alpha", "active"),
                ("host2@beta", "active"),
            }
            assert [len(stack.paths(id_)) for id_ in ids] == [2, 2]
            assert list(world(stack)["servers"]) == [server_of(stack, ids[0])]
    finally:
        process.stop()
