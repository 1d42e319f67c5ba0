"""Whatever clients ask for at the same moment: quotas, room and addresses are never given twice, everything that goes on is somebody's work,
a share is on all subnets of its server, and when all is deleted nothing is left.

Rounds of requests drawn from a seed, in threads that start together. For a few seconds here; `ABACA_CROWD_SECONDS=3600` goes on for long, with
another seed each time (`ABACA_CROWD_SEED` names one). An interleaving that was found to go wrong gets a test by name beside those of its noun.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from random import Random

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.tables import local_ports, pools, quota_usages, share_export_locations, share_instances, share_servers
from abaca.db.tables import share_server_share_network_subnet_mappings as mappings
from abaca.workflow import queue
from tests.operations import invariants
from tests.operations.conftest import Install
from tests.operations.crowd import LIMITS, Crowd
from tests.operations.scenarios import Ground
from tests.operations.scene import plan, slate
from tests.stack import wait_for

SECONDS = float(os.environ.get("ABACA_CROWD_SECONDS", "12"))
SEED = int(os.environ.get("ABACA_CROWD_SEED", "0"))
BACKENDS = {"alpha": {"pools": "one:12,two:6"}, "beta": {"pools": "three:9", "availability_zone": "east"}}


@pytest.fixture
def ground(install: Install) -> Iterator[Ground]:
    """Two back ends in two zones, with little room."""
    stack = install(BACKENDS, **{"worker.retry_seconds": 0.1, "service_down_time": 600})
    with stack.working():
        yield Ground(stack)


def wipe(crowd: Crowd, ground: Ground, before: dict[str, object]) -> None:
    """Of all that was asked for nothing is left."""
    plan(ground.stack)
    plan(ground.stack, backend="beta")
    ground.wipe()
    assert slate(ground.stack) == before, crowd.history


@pytest.mark.timeout(SECONDS * 3 + 120)
def test_whatever_is_asked_at_once(ground: Ground) -> None:
    seed = SEED or Random().randrange(10**6) if SECONDS > 60 else SEED
    crowd = Crowd(ground.stack, seed)
    ground.wipe()  # what is made once for all stays: counters, zones
    before = slate(ground.stack)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        crowd.gather()
        for _ in range(40):
            crowd.meet()
            if time.monotonic() > end:
                break
        wipe(crowd, ground, before)
    print(f"seed {seed}: {len(crowd.history)} rounds, {sum(crowd.asked.values())} requests")
    print(*sorted(crowd.asked.items()), sep="\n")
    assert crowd.asked["create_share done"] > 0


COPIED = {"id": "another", "share_server_id": "another"}
BREAKING: dict[str, Callable[[Connection], object]] = {
    "quotas_are_kept": lambda conn: conn.execute(sa.update(quota_usages).values(shares=quota_usages.c.shares + 1)),
    "claims_are_right": lambda conn: conn.execute(sa.update(pools).values(allocated_capacity_gb=pools.c.allocated_capacity_gb + 1)),
    "pools_are_not_overbooked": lambda conn: conn.execute(sa.update(pools).values(allocated_capacity_gb=13)),
    "no_server_is_there_twice": lambda conn: [copy(conn, table) for table in (share_servers, mappings)],
    "addresses_are_given": lambda conn: conn.execute(sa.delete(local_ports)),
    "paths_are_complete": lambda conn: conn.execute(sa.delete(share_export_locations)),
    "what_goes_on_is_somebodys_work": lambda conn: conn.execute(sa.update(share_instances).values(status="extending")),
    "nothing_goes_on": lambda conn: conn.execute(sa.update(share_instances).values(status="deleting")),
}


def copy(conn: Connection, table: sa.Table) -> None:
    """Every row once more, of another share server."""
    for row in conn.execute(sa.select(table)).mappings().all():
        conn.execute(sa.insert(table).values({**row, **{name: value for name, value in COPIED.items() if name in row}}))


def test_no_invariant_is_blind(ground: Ground) -> None:
    stack = ground.stack
    ground.share()
    assert wait_for(lambda: not queue.unfinished(stack.engine)) and invariants.broken(stack.engine, LIMITS, at_rest=True) == []
    assert BREAKING.keys() == {invariant.__name__ for invariant in invariants.AT_REST}
    for name, break_it in BREAKING.items():
        stack.do(break_it)
        assert any(find.startswith(name) for find in invariants.broken(stack.engine, LIMITS, at_rest=True)), name
