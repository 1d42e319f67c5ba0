"""Subnets of zones beside default ones: each zone has its own bucket, and its own number of
subnets. Back ends of every capability, on two worker hosts where the database serves two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from abaca import config
from abaca.db.tables import services
from tests.operations.conftest import Install
from tests.operations.scene import (
    addresses,
    all_servers,
    available_share,
    delete_server,
    delete_share,
    instance_of,
    server_of,
    told,
)
from tests.stack import Stack, WorkerProcess

MULTIPLE, UPDATE = "share_server_multiple_subnet_support", "network_allocation_update_support"
HERE = {
    "alpha": {"availability_zone": "zone-a"},
    "beta": {"availability_zone": "zone-b", MULTIPLE: "false"},
}
THERE = {
    "gamma": {"availability_zone": "zone-c", MULTIPLE: "false", UPDATE: "false"},
    "delta": {"availability_zone": "zone-d", UPDATE: "false"},
}


@pytest.fixture
def stack(install: Install, database_kind: str, tmp_path: Path) -> Iterator[Stack]:
    """A back end of each kind, in a zone of its own; two of them on a second worker host, which
    SQLite does not serve."""
    two_hosts = database_kind != "sqlite"
    made = install(HERE if two_hosts else HERE | THERE)
    with ExitStack() as running:
        if two_hosts:
            elsewhere = tmp_path / "elsewhere"
            elsewhere.mkdir()
            running.callback(
                WorkerProcess(elsewhere, config.database_url(made.conf), THERE, host="host2").stop
            )
        running.enter_context(made.working())
        ready = sa.select(sa.func.count()).select_from(services).where(services.c.is_ready)
        made.wait(lambda conn: conn.scalar(ready) == len(HERE | THERE))
        yield made


def test_each_zone_has_its_own_subnets_or_the_default_ones(stack: Stack) -> None:
    default, second, of_b = stack.network("10.1.0.0/24", "fd00:1::/64", "10.2.0.0/24")
    network = stack.share_network(default, second)
    stack.add_subnet(network, of_b, zone="zone-b")
    in_a = available_share(stack, network, availability_zone="zone-a")
    assert [
        path.startswith(prefix)
        for path, prefix in zip(stack.paths(in_a), ("10.1.0.", "[fd00:1::"), strict=True)
    ] == [True, True]
    in_b = available_share(stack, network, availability_zone="zone-b")
    assert [path.startswith("10.2.0.") for path in stack.paths(in_b)] == [True], (
        "one subnet of its own, none of the default ones"
    )
    refused = stack.share(network, availability_zone="zone-c")
    assert stack.settled_share(refused) == "error", (
        "the default subnets are two, and the back end takes one"
    )
    assert MULTIPLE in told(stack)[0] and instance_of(stack, refused).host is None
    in_d = available_share(stack, network, availability_zone="zone-d")
    assert len(stack.paths(in_d)) == 2
    assert len({server_of(stack, share) for share in (in_a, in_b, in_d)}) == 3


def test_a_share_without_a_zone_goes_where_the_network_fits(stack: Stack) -> None:
    first, second = stack.network("10.1.0.0/24", "10.2.0.0/24")
    for _ in range(4):
        share = available_share(stack, stack.share_network(first, second))
        assert instance_of(stack, share).host.split("@")[1].partition("#")[0] in (
            "alpha",
            "delta",
        ), "those that take several subnets"
        assert len(stack.paths(share)) == 2


def test_zones_grow_by_themselves(stack: Stack) -> None:
    """A default subnet more changes the servers on default subnets; one of a zone those of the
    zone."""
    default, later, of_b, more_of_b = stack.network(
        "10.1.0.0/24", "10.2.0.0/24", "10.3.0.0/24", "fd00:3::/64"
    )
    network = stack.share_network(default)
    stack.add_subnet(network, of_b, zone="zone-b")
    in_a, in_b = (
        available_share(stack, network, availability_zone=zone) for zone in ("zone-a", "zone-b")
    )
    stack.add_subnet(network, later)
    assert stack.settled_network(network) == "active"
    assert [len(stack.paths(share)) for share in (in_a, in_b)] == [2, 1]
    stack.add_subnet(network, more_of_b, zone="zone-b")
    assert stack.settled_network(network) == "active"
    assert [len(stack.paths(share)) for share in (in_a, in_b)] == [2, 2]
    assert {row.status for row in all_servers(stack)} == {"active"}
    for share in (in_a, in_b):
        server = server_of(stack, share)
        delete_share(stack, share)
        delete_server(stack, server)
    assert addresses(stack) == 0
