"""What shares hold: measured by the worker, a back end at a time, and stored in a fixed number of
statements."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from abaca.db.session import begin
from abaca.db.tables import services, share_instances, share_usages
from abaca.domain.capacity import share_usages as usages
from abaca.drivers.fake import FakeDriver
from tests.api.test_statements import counted
from tests.operations.conftest import Install
from tests.operations.scene import available_share, delete_share, failing, instance_of, plan
from tests.stack import Stack, wait_for

QUICK = {"worker.usage_interval": 0.1}


def stored(conn: Connection) -> dict[str, int]:
    return dict(
        conn.execute(sa.select(share_usages.c.share_instance_id, share_usages.c.used_bytes)).all()
    )


def write(stack: Stack, share: str, number: int) -> str:
    """As if a client had; the instance's id."""
    instance = str(instance_of(stack, share).id)
    FakeDriver("alpha", {"state_file": f"{stack.conf.state_dir}/worker/alpha.json"}).set_used_bytes(
        instance, number
    )
    return instance


def test_the_worker_measures_again_and_again_and_forgets_what_is_gone(install: Install) -> None:
    stack = install(**QUICK)
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        shares = [available_share(stack, network) for _ in range(2)]
        one, other = (
            write(stack, share, number) for share, number in zip(shares, (7, 8), strict=True)
        )
        stack.wait(lambda conn: stored(conn) == {one: 7, other: 8})
        write(stack, shares[0], 2**40)
        stack.wait(lambda conn: stored(conn) == {one: 2**40, other: 8})
        (project,) = stack.ask(usages.by_project)
        assert (project.project_id, project.used_bytes, project.allocated_bytes) == (
            "project",
            2**40 + 8,
            2 * 2**30,
        )
        delete_share(stack, shares[1])
        stack.wait(lambda conn: stored(conn) == {one: 2**40})


@pytest.mark.parametrize("error", ["Unavailable", "Refused", "bug"])
def test_a_driver_that_cannot_tell_now_takes_nothing_away(install: Install, error: str) -> None:
    stack = install(**QUICK)
    with stack.working():
        share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
        instance = write(stack, share, 7)
        stack.wait(lambda conn: stored(conn) == {instance: 7})
        plan(stack, failing("used_bytes", error))
        write(stack, share, 8)
        before = stack.ask(lambda conn: conn.scalar(sa.select(services.c.updated_at)))
        # it gives heartbeats
        stack.wait(lambda conn: conn.scalar(sa.select(services.c.updated_at)) != before)
        assert stack.ask(stored) == {instance: 7}
        plan(stack)
        stack.wait(lambda conn: stored(conn) == {instance: 8})


def test_one_that_hangs_keeps_nobody_waiting(install: Install) -> None:
    stack = install(**QUICK)
    plan(stack, failing("used_bytes", "hang"))
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        for _ in range(3):
            available_share(stack, network)
        assert stack.ask(stored) == {}


def test_restarts_of_share_servers_are_counted(install: Install) -> None:
    stack = install(**{"worker.watch_interval": 0.1})

    def restarts() -> int:
        return stack.ask(lambda conn: conn.scalar(sa.select(services.c.share_server_restarts))) or 0

    with stack.working():
        share = available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
        assert restarts() == 0
        FakeDriver(
            "alpha", {"state_file": f"{stack.conf.state_dir}/worker/alpha.json"}
        ).stop_serving(instance_of(stack, share).share_server_id)
        wait_for(lambda: restarts() == 1)


def test_what_a_driver_tells_wrongly_is_no_share(stack: Stack) -> None:
    """Of things that are no shares here, and numbers that no share can hold."""
    instance = str(
        instance_of(
            stack, available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
        ).id
    )
    for told, kept in ((-5, 0), (2**70, 2**63 - 1), (3, 3)):
        stack.do(
            usages.store, "host1@alpha", {instance: told, "x" * 5000: 1, "": 1, "\u2028'\"\\": 2}
        )
        assert stack.ask(stored) == {instance: kept}


def test_storing_takes_three_statements_however_many_shares_there_are(install: Install) -> None:
    stack = install()
    with stack.working():
        network = stack.share_network(*stack.network("10.1.0.0/24"))
        ids = [str(instance_of(stack, available_share(stack, network)).id) for _ in range(3)]
    for told in ({}, dict.fromkeys(ids, 5), {ids[0]: 6, ids[1]: 5}):
        with counted() as statements:
            stack.do(usages.store, "host1@alpha", told)
        assert len(statements) == 3
    assert stack.ask(stored) == {ids[0]: 6, ids[1]: 5}
    stack.do(usages.store, "host1@beta", {ids[2]: 1})  # another back end's are its own
    assert stack.ask(stored) == {ids[0]: 6, ids[1]: 5, ids[2]: 1}


def test_measuring_waits_for_no_request_that_holds_its_share(install: Install) -> None:
    """On SQLite there is one writer, who waits."""
    stack = install()
    if stack.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time.")
    with stack.working():
        instance = str(
            instance_of(
                stack, available_share(stack, stack.share_network(*stack.network("10.1.0.0/24")))
            ).id
        )
    with begin(stack.engine) as holding:
        holding.execute(
            sa.select(share_instances).where(share_instances.c.id == instance).with_for_update()
        )
        with begin(stack.engine) as conn:
            conn.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
            usages.store(conn, "host1@alpha", {instance: 5})
    assert stack.ask(stored) == {instance: 5}
