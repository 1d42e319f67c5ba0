"""A pool that says at the creation of a share that it has no room, although the scheduler thought
so: another pool is tried."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import sqlalchemy as sa

from abaca.db.tables import services, share_instances
from abaca.domain.shares import shares
from abaca.drivers.fake.faults import Fault
from tests.databases import SqliteDatabases
from tests.operations.conftest import Install
from tests.operations.scene import (
    WHY,
    addresses,
    available_share,
    failing,
    instance_of,
    make_stack,
    plan,
    server_of,
    share,
    slate,
    struck,
    told,
    world,
)
from tests.stack import ADMIN, Stack, initialise, wait_for
from tests.walk import MOMENTS, Walk

pytestmark = pytest.mark.sampled_file(4)

ALPHA_IS_LARGER = {"alpha": {"pools": "pool:100"}, "beta": {"pools": "pool:50"}}
FULL = failing("create_share", "NoSpace", when="after")


def full(stack: Stack, *backends: str) -> None:
    for backend in backends:
        plan(stack, FULL, backend=backend)


def place(stack: Stack, id_: str) -> str:
    return str(instance_of(stack, id_).host)


def claimed(stack: Stack) -> dict[str, int]:
    return dict(slate(stack)["claimed"])


def test_the_share_is_made_on_another_pool(install: Install) -> None:
    stack = install(ALPHA_IS_LARGER)
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24", "fd00:1::/64"))
        first = available_share(stack, network)
        assert place(stack, first) == "host1@alpha#pool"
        full(stack, "alpha")
        id_ = available_share(stack, network, size=3)
        assert place(stack, id_) == "host1@beta#pool"
        assert claimed(stack) == {"host1@alpha#pool": 1, "host1@beta#pool": 3}
        assert set(world(stack)["shares"]) == {instance_of(stack, first).id}, (
            "nothing of it is left on the first one"
        )
        assert set(world(stack, "beta")["shares"]) == {instance_of(stack, id_).id}
        assert told(stack) == [] and len(stack.paths(id_)) == 2
        assert addresses(stack) == 4, "two for each of its servers"


def test_each_pool_is_tried_once_and_the_last_reason_is_told(install: Install) -> None:
    stack = install({**ALPHA_IS_LARGER, "gamma": {"pools": "pool:20,other:10"}})
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        full(stack, "alpha", "beta", "gamma")
        id_ = stack.share(network, size=2)
        assert stack.settled_share(id_) == "error"
        assert [struck(stack, name) for name in ("alpha", "beta", "gamma")] == [1, 1, 2]
        assert told(stack) == [WHY]
        assert sum(claimed(stack).values()) == 2
        stack.do(shares.force_delete, ADMIN, id_)
        assert stack.settled_share(id_) == "gone"
        assert sum(claimed(stack).values()) == 0


def test_no_other_zone_is_tried(install: Install) -> None:
    stack = install(
        {
            "alpha": {"availability_zone": "one", "pools": "pool:100"},
            "beta": {"availability_zone": "two"},
        }
    )
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        full(stack, "alpha")
        id_ = stack.share(network, availability_zone="one")
        assert (stack.settled_share(id_), place(stack, id_)) == ("error", "host1@alpha#pool")


def test_a_share_that_must_stay_on_its_pool_is_not_made_elsewhere(install: Install) -> None:
    stack = install(ALPHA_IS_LARGER)
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        full(stack, "alpha")
    id_ = stack.share(network)
    stack.do(lambda conn: conn.execute(sa.update(share_instances).values(is_pinned=True)))
    with stack.working():
        assert (stack.settled_share(id_), place(stack, id_)) == ("error", "host1@alpha#pool")
        assert told(stack) == [WHY] and struck(stack, "beta") == 0


def test_another_pool_is_one_that_the_scheduler_hints_leave(install: Install) -> None:
    stack = install({**ALPHA_IS_LARGER, "gamma": {"pools": "pool:20"}})
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        first = available_share(stack, network)
        full(stack, "beta")
        away = stack.share(network, different_host=(first,))
        assert stack.settled_share(away) == "available", told(stack)
        assert place(stack, away) == "host1@gamma#pool", "not the larger one that the first is on"
        full(stack, "alpha")
        near = stack.share(network, same_host=(first,))
        assert (stack.settled_share(near), told(stack)) == ("error", [WHY])
        for id_ in (away, first, near):
            stack.do(shares.force_delete, ADMIN, id_)
        assert {stack.settled_share(id_) for id_ in (away, first, near)} == {"gone"}


@pytest.mark.parametrize("cleanup", ["Refused", "NoSpace"])
def test_what_cannot_be_taken_back_stays_where_it_is(install: Install, cleanup: str) -> None:
    """Else nobody would ever delete what is left on the first pool."""
    stack = install(ALPHA_IS_LARGER)
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        plan(stack, FULL, Fault(method="delete_share", error=cleanup, message="cannot"))  # type: ignore[arg-type]
        id_ = stack.share(network)
        assert (stack.settled_share(id_), place(stack, id_), told(stack)) == (
            "error",
            "host1@alpha#pool",
            [WHY],
        )
        plan(stack)
        stack.do(shares.force_delete, ADMIN, id_)
        assert stack.settled_share(id_) == "gone"
        assert world(stack)["shares"] == {}


def test_a_share_that_is_deleted_by_force_meanwhile_is_not_made_elsewhere(install: Install) -> None:
    stack = install(ALPHA_IS_LARGER)
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        plan(stack, Fault(method="create_share", error="hang", times=1), FULL)
        id_ = stack.share(network)
        wait_for(lambda: struck(stack))
        stack.do(shares.force_delete, ADMIN, id_)
        full(stack, "alpha")
        assert stack.settled_share(id_) == "gone"
        assert (world(stack)["shares"], world(stack, "beta")["shares"]) == ({}, {})
        assert sum(claimed(stack).values()) == 0


@pytest.mark.timeout(600)
def test_killed_anywhere_it_ends_the_same(
    sqlite_databases: SqliteDatabases, tmp_path: Path
) -> None:
    """On the second pool, by its server there, which stands. The steps that every creation has are
    walked with the others."""
    state_dir, url = tmp_path / "state", sqlite_databases.create_from(initialise)
    state_dir.mkdir()
    stack = make_stack(state_dir, url, ALPHA_IS_LARGER, service_down_time=600)
    stack.share_type()
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        stack.do(
            lambda conn: conn.execute(
                sa.update(services).where(services.c.host == "host1@alpha").values(disabled=True)
            )
        )
        available_share(stack, network)
        stack.do(lambda conn: conn.execute(sa.update(services).values(disabled=False)))
    id_ = stack.share(network)
    assert (share(stack, id_)["status"], place(stack, id_)) == ("creating", "host1@alpha#pool")
    assert server_of(stack, id_)
    full(stack, "alpha")
    stack.close()
    backends = {
        name: {"fault_plan": str(state_dir / f"{name}.faults"), **options}
        for name, options in ALPHA_IS_LARGER.items()
    }
    walk = Walk(
        sqlite_databases,
        url,
        state_dir,
        backends,
        "share_create",
        {"service_down_time": 600, "worker.retry_seconds": 0.4},
    )
    steps, expected = walk.undisturbed()
    assert any("place_again" in step for step in steps)
    assert not [row for rows in expected.values() for row in rows if '"status":"error' in row]
    own = [
        number
        for number, step in enumerate(steps, 1)
        if "delete_share" in step or "place_again" in step
    ]
    assert len(own) == 2
    for number, moment in itertools.product(own, MOMENTS):
        walk.kill(steps, number, moment, expected)
