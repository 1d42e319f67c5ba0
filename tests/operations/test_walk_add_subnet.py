"""share_server_add_subnet, killed before, inside and after every step: it always ends as if nothing
had happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from abaca.domain.shares import access_rules
from tests.databases import Databases, Initialise
from tests.stack import MEMBER, Stack, initialise, make_conf
from tests.walk import Walk, places

BACKENDS: dict[str, dict[str, str]] = {"alpha": {}}
OVERRIDES = {"service_down_time": 600}


@pytest.fixture
def walk(
    databases: Databases, template_database: Callable[[Initialise], str], tmp_path: Path
) -> Iterator[Walk]:
    """A share with a rule on two subnets, and a third subnet added while no worker runs."""
    url = template_database(initialise)
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    stack = Stack(make_conf(state_dir, url, BACKENDS, **OVERRIDES))
    stack.share_type()
    first, second = stack.network("10.1.0.0/24", "fd00:1::/64"), stack.network("10.2.0.0/24")
    with stack.working():
        share_network = stack.share_network(*first)
        share = stack.share(share_network)
        assert stack.settled_share(share) == "available"
        stack.do(
            access_rules.allow,
            MEMBER,
            share,
            access_type="ip",
            access_to="10.0.0.0/8",
            access_level="rw",
        )
        stack.wait(lambda conn: access_rules.find(conn, MEMBER, share)[0]["state"] == "active")
        stack.checked(share_network, second[0])
    stack.add_subnet(share_network, second[0])
    stack.close()
    yield Walk(databases, url, state_dir, BACKENDS, "share_server_add_subnet", dict(OVERRIDES))


@pytest.mark.timeout(400)
def test_killed_anywhere_it_ends_the_same(walk: Walk, database_kind: str) -> None:
    steps, expected = walk.undisturbed()
    assert len(steps) >= 5
    assert any("update_share_server_network_allocations" in step for step in steps)
    assert '"status":"active"' in expected["share_networks"][0]
    assert len(expected["network_allocations"]) == 3
    assert len(expected["share_export_locations"]) == 3
    for number, moment in places(steps, all_of_them=database_kind == "sqlite"):
        walk.kill(steps, number, moment, expected)
