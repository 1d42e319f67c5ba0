"""Share servers that stop serving by themselves: noticed and brought back, one by one, and not
again and again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from abaca.db.tables import services
from abaca.drivers.fake import FakeDriver
from abaca.drivers.fake.faults import Fault
from abaca.operations import serving
from abaca.reconcile.unserved_share_servers import MOST_AT_ONCE
from tests.operations.conftest import Install
from tests.operations.scene import (
    allow,
    available_share,
    enforced,
    failing,
    plan,
    server_of,
    settled_rules,
    struck,
    world,
)
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.sampled_file(4)

NEVER = 3600.0
OFTEN = 0.05


def watched(install: Install, looks: float = OFTEN, **overrides: Any) -> Stack:
    """`looks`: seconds between two looks whether servers serve. Deaths are told beside these."""
    return install(**{"worker.watch_interval": looks, **overrides})


def stop_serving(stack: Stack, *servers: str, dies: bool = False) -> None:
    driver = FakeDriver(
        "alpha", {"state_file": str(Path(stack.conf.state_dir, "worker", "alpha.json"))}
    )
    for server in servers:
        driver.stop_serving(server, dies=dies)


def is_served(stack: Stack, server: str) -> bool:
    return bool(world(stack)["servers"][server]["is_served"])


def shares_of_servers(stack: Stack, number: int = 2) -> list[str]:
    """A share on a server of its own each."""
    return [
        available_share(stack, stack.share_network(*stack.network(f"10.{net}.0.0/24")))
        for net in range(1, number + 1)
    ]


@pytest.mark.parametrize(("dies", "looks"), [(True, NEVER), (False, OFTEN)], ids=["dies", "hangs"])
def test_one_that_stops_serving_is_brought_back_and_no_other_is_touched(
    install: Install, dies: bool, looks: float
) -> None:
    stack = watched(install, looks)
    with stack.working():
        share, other = shares_of_servers(stack)
        allow(stack, share, "10.0.0.0/8")
        assert settled_rules(stack, share) == "active"
        plan(
            stack,
            *(
                failing(method, "Refused", match=server_of(stack, other))
                for method in ("restart_server", "ensure_server")
            ),
        )
        stop_serving(stack, server_of(stack, share), dies=dies)
        wait_for(lambda: is_served(stack, server_of(stack, share)))
        assert enforced(stack, share) == {"10.0.0.0/8"}
        assert struck(stack) == 0


def test_one_that_died_is_restarted_while_an_operation_holds_its_lock(install: Install) -> None:
    stack = watched(install, NEVER)
    with stack.working():
        server = server_of(stack, shares_of_servers(stack, 1)[0])
        with serving.current().locks.shared(server):
            stop_serving(stack, server, dies=True)
            wait_for(lambda: is_served(stack, server))


def test_one_that_cannot_be_restarted_is_ensured(install: Install) -> None:
    stack = watched(install, NEVER)
    with stack.working():
        server = server_of(stack, shares_of_servers(stack, 1)[0])
        plan(stack, failing("restart_server", "Unavailable"))
        stop_serving(stack, server, dies=True)
        wait_for(lambda: is_served(stack, server))
        assert struck(stack) == 1


def test_many_that_die_at_once_are_all_restarted(install: Install) -> None:
    stack = watched(install, NEVER)
    with stack.working():
        servers = [server_of(stack, share) for share in shares_of_servers(stack, MOST_AT_ONCE + 3)]
        stop_serving(stack, *servers, dies=True)
        for server in servers:
            wait_for(partial(is_served, stack, server))


def test_one_that_dies_again_and_again_is_left_alone_for_a_while_and_the_next_one_is_restarted(
    install: Install,
) -> None:
    stack = watched(install)
    with stack.working():
        falling, other = (server_of(stack, share) for share in shares_of_servers(stack))

        def stays_down() -> bool:
            stop_serving(stack, falling, dies=True)
            Event().wait(1)
            return not is_served(stack, falling)

        assert not stays_down(), "the first restart is at once"
        wait_for(stays_down)
        stop_serving(stack, other, dies=True)
        wait_for(lambda: is_served(stack, other))
        assert not is_served(stack, falling)


def test_one_that_does_not_come_back_is_left_alone_for_a_while_and_the_next_one_is_brought_back(
    install: Install,
) -> None:
    stack = watched(install)
    with stack.working():
        lost, other = (server_of(stack, share) for share in shares_of_servers(stack))
        plan(
            stack,
            *(
                failing(method, "Unavailable", match=lost)
                for method in ("restart_server", "ensure_server")
            ),
        )
        stop_serving(stack, lost)
        wait_for(lambda: struck(stack) == 2)
        Event().wait(1)
        assert struck(stack) == 2, "twenty looks, one attempt"
        stop_serving(stack, other)
        wait_for(lambda: is_served(stack, other))
        assert not is_served(stack, lost)
        wait_for(
            lambda: (
                stack.ask(lambda conn: conn.scalar(sa.select(services.c.unserved_share_servers)))
                == 1
            )
        )


def test_one_whose_back_end_hangs_over_it_holds_no_other_up(install: Install) -> None:
    stack = watched(install)
    with stack.working():
        stuck, other = (server_of(stack, share) for share in shares_of_servers(stack))
        plan(
            stack,
            failing("restart_server", "Unavailable"),
            Fault(method="ensure_server", match=stuck, error="hang"),
        )
        stop_serving(stack, stuck, other)
        wait_for(lambda: is_served(stack, other))
        assert not is_served(stack, stuck)
        plan(stack)
        wait_for(lambda: is_served(stack, stuck))


def test_many_whose_restarts_hang_hold_no_other_up(install: Install) -> None:
    stack = watched(install, NEVER)
    with stack.working():
        *stuck, other = (
            server_of(stack, share) for share in shares_of_servers(stack, MOST_AT_ONCE + 1)
        )
        plan(
            stack, *(Fault(method="restart_server", match=server, error="hang") for server in stuck)
        )
        stop_serving(stack, *stuck, dies=True)
        wait_for(lambda: struck(stack) == MOST_AT_ONCE)
        stop_serving(stack, other, dies=True)
        wait_for(lambda: is_served(stack, other))
        assert not any(is_served(stack, server) for server in stuck)


def test_a_back_end_that_cannot_tell_now_is_asked_again(install: Install) -> None:
    stack = watched(install)
    with stack.working():
        server = server_of(stack, shares_of_servers(stack, 1)[0])
        plan(
            stack,
            Fault(method="unserved", error="Unavailable", times=1),
            Fault(method="unserved", error="bug", times=1),
        )
        stop_serving(stack, server)
        wait_for(lambda: is_served(stack, server))
        assert struck(stack) == 2


def test_a_back_end_that_fails_to_tell_of_deaths_is_asked_again(install: Install) -> None:
    stack = watched(install, NEVER)
    with stack.working():
        server = server_of(stack, shares_of_servers(stack, 1)[0])
        plan(
            stack,
            Fault(method="wait_for_deaths", error="Unavailable", times=1),
            Fault(method="wait_for_deaths", error="bug", times=1),
        )
        wait_for(lambda: struck(stack) == 2)
        stop_serving(stack, server, dies=True)
        wait_for(lambda: is_served(stack, server))
