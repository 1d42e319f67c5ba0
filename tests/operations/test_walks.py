"""Other workflows, killed before, inside and after their steps: a third of the places a day, all of them with `make walk`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from abaca.domain import access_rules, share_networks, share_servers, shares, snapshots
from tests.databases import SqliteDatabases
from tests.operations.scene import available_share, delete_share, server_of
from tests.stack import MEMBER, Stack, initialise, make_conf
from tests.walk import Walk, places

BACKENDS = {"alpha": {}}
OVERRIDES = {"service_down_time": 600}


class Ground:
    """A place to prepare a walk on: `prepare` with a worker, then ask for the work without one, then `walk`."""

    def __init__(self, databases: SqliteDatabases, state_dir: Path) -> None:
        state_dir.mkdir()
        self._databases, self._state_dir = databases, state_dir
        self._url = databases.create_from(initialise)
        self.stack = Stack(make_conf(state_dir, self._url, BACKENDS, **OVERRIDES))
        self.stack.share_type()
        with self.stack.working():
            pairs = self.stack.network("10.1.0.0/24", "fd00:1::/64")
            self.share_network = self.stack.share_network(*pairs)
            self.stack.wait(lambda conn: all(s["cidr"] for s in share_networks.get(conn, MEMBER, self.share_network)["share_network_subnets"]))

    def walk(self, workflow: str) -> dict[str, Any]:
        """The end that every disturbed run has, too."""
        self.stack.close()
        walk = Walk(self._databases, self._url, self._state_dir, BACKENDS, workflow, dict(OVERRIDES))
        steps, expected = walk.undisturbed()
        assert len(steps) >= 4
        for number, moment in places(steps):
            assert walk.killed_at(number, moment) == expected, f"killed {moment} step {steps[number - 1]}"
        return expected


@pytest.fixture
def ground(sqlite_databases: SqliteDatabases, tmp_path: Path) -> Iterator[Ground]:
    yield Ground(sqlite_databases, tmp_path / "state")


@pytest.mark.timeout(400)
def test_walk_share_create_with_a_new_server_on_two_subnets(ground: Ground) -> None:
    ground.stack.share(ground.share_network)
    end = ground.walk("share_create")
    assert '"status":"available"' in end["share_instances"][0]
    assert (len(end["share_servers"]), len(end["network_allocations"]), len(end["share_export_locations"])) == (1, 2, 2)
    assert len(end["world of alpha"]["servers"]) == 1


@pytest.mark.timeout(400)
def test_walk_share_delete(ground: Ground) -> None:
    stack = ground.stack
    with stack.working():
        share = available_share(stack, ground.share_network)
        stack.do(access_rules.allow, MEMBER, share, access_type="ip", access_to="10.0.0.0/8", access_level="rw")
        stack.wait(lambda conn: access_rules.find(conn, MEMBER, share)[0]["state"] == "active")
    stack.do(shares.delete, MEMBER, share)
    end = ground.walk("share_delete")
    assert (end["shares"], end["share_instances"], end["share_access_rules"], end["share_export_locations"]) == ([], [], [], [])
    assert end["world of alpha"]["shares"] == {}
    assert '"allocated_capacity_gb":0' in end["pools"][0]


@pytest.mark.timeout(400)
def test_walk_share_server_delete(ground: Ground) -> None:
    stack = ground.stack
    with stack.working():
        share = available_share(stack, ground.share_network)
        server = server_of(stack, share)
        delete_share(stack, share)
    stack.do(share_servers.delete, server)
    end = ground.walk("share_server_delete")
    assert (end["share_servers"], end["network_allocations"], end["local_ports"]) == ([], [], [])
    assert end["world of alpha"]["servers"] == {}


SPECS = dict.fromkeys(
    ("snapshot_support", "create_share_from_snapshot_support", "revert_to_snapshot_support", "mount_snapshot_support"), "True"
)


def snapshot_of_a_share(ground: Ground) -> tuple[str, str]:
    """A share with a rule that has been shrunk since its snapshot was taken, and that snapshot."""
    stack = ground.stack
    stack.share_type("snap", **SPECS)
    share = available_share(stack, ground.share_network, size=3, share_type="snap")
    stack.do(access_rules.allow, MEMBER, share, access_type="ip", access_to="10.0.0.0/8", access_level="rw")
    stack.wait(lambda conn: access_rules.find(conn, MEMBER, share)[0]["state"] == "active")
    snapshot = stack.snapshot(share)
    assert stack.settled_snapshot(snapshot) == "available"
    stack.do(shares.shrink, MEMBER, share, 1)
    assert stack.settled_share(share) == "available"
    return share, snapshot


@pytest.mark.timeout(400)
def test_walk_snapshot_create(ground: Ground) -> None:
    stack = ground.stack
    with stack.working():
        share, _ = snapshot_of_a_share(ground)
    stack.snapshot(share)
    end = ground.walk("snapshot_create")
    assert all('"status":"available"' in row for row in end["share_snapshot_instances"])
    assert (len(end["share_snapshot_instances"]), len(end["share_snapshot_export_locations"])) == (2, 4)
    assert len(end["world of alpha"]["snapshots"]) == 2


@pytest.mark.timeout(400)
def test_walk_snapshot_delete(ground: Ground) -> None:
    stack = ground.stack
    with stack.working():
        _, snapshot = snapshot_of_a_share(ground)
    stack.do(snapshots.delete, MEMBER, snapshot)
    end = ground.walk("snapshot_delete")
    assert (end["share_snapshots"], end["share_snapshot_instances"], end["share_snapshot_export_locations"]) == ([], [], [])
    assert end["world of alpha"]["snapshots"] == {}


@pytest.mark.timeout(400)
def test_walk_share_revert(ground: Ground) -> None:
    stack = ground.stack
    with stack.working():
        share, snapshot = snapshot_of_a_share(ground)
    stack.do(snapshots.revert, MEMBER, share, snapshot)
    end = ground.walk("share_revert")
    assert '"status":"available"' in end["share_instances"][0] and '"status":"available"' in end["share_snapshot_instances"][0]
    assert '"size":3' in end["shares"][0] and '"growing_to":null' in end["shares"][0]
    assert '"allocated_capacity_gb":3' in end["pools"][0]
    assert [stored["size"] for stored in end["world of alpha"]["shares"].values()] == [3]


@pytest.mark.timeout(400)
def test_walk_share_create_from_a_snapshot(ground: Ground) -> None:
    stack = ground.stack
    with stack.working():
        _, snapshot = snapshot_of_a_share(ground)
    stack.share(ground.share_network, size=3, share_type="snap", snapshot_id=snapshot)
    end = ground.walk("share_create")
    assert all('"status":"available"' in row for row in end["share_instances"])
    assert (len(end["share_servers"]), len(end["world of alpha"]["shares"])) == (1, 2)


@pytest.mark.parametrize(("verb", "size"), [(shares.extend, 5), (shares.shrink, 1)])
@pytest.mark.timeout(400)
def test_walk_share_resize(ground: Ground, verb: Callable[..., None], size: int) -> None:
    stack = ground.stack
    with stack.working():
        share = available_share(stack, ground.share_network, size=3)
    stack.do(verb, MEMBER, share, size)
    end = ground.walk(f"share_{verb.__name__}")
    assert f'"size":{size}' in end["shares"][0] and '"status":"available"' in end["share_instances"][0]
    assert [stored["size"] for stored in end["world of alpha"]["shares"].values()] == [size]
