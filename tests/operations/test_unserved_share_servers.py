"""Share servers that stop serving by themselves: noticed and brought back, one by one, and not again and again."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import sqlalchemy as sa

from abaca.db.tables import services
from abaca.drivers.fake import FakeDriver
from abaca.drivers.fake.faults import Fault
from tests.operations.conftest import Install
from tests.operations.scene import allow, available_share, enforced, failing, plan, server_of, settled_rules, struck, world
from tests.stack import Stack, wait_for


def watched(install: Install, **overrides: Any) -> Stack:
    return install(**{"worker.watch_interval": 0.05, **overrides})


def stop_serving(stack: Stack, *servers: str) -> None:
    driver = FakeDriver("alpha", {"state_file": str(Path(stack.conf.state_dir, "worker", "alpha.json"))})
    for server in servers:
        driver.stop_serving(server)


def is_served(stack: Stack, server: str) -> bool:
    return bool(world(stack)["servers"][server]["is_served"])


def shares_of_two_servers(stack: Stack) -> tuple[str, str]:
    first, second = (available_share(stack, stack.share_network(*stack.network(cidr))) for cidr in ("10.1.0.0/24", "10.2.0.0/24"))
    return first, second


def test_one_that_stops_serving_is_brought_back_and_no_other_is_touched(install: Install) -> None:
    stack = watched(install)
    with stack.working():
        share, other = shares_of_two_servers(stack)
        allow(stack, share, "10.0.0.0/8")
        assert settled_rules(stack, share) == "active"
        plan(stack, failing("ensure_server", "Refused", match=server_of(stack, other)))
        stop_serving(stack, server_of(stack, share))
        wait_for(lambda: is_served(stack, server_of(stack, share)))
        assert enforced(stack, share) == {"10.0.0.0/8"}
        assert struck(stack) == 0


def test_one_that_does_not_come_back_is_left_alone_for_a_while_and_the_next_one_is_brought_back(install: Install) -> None:
    stack = watched(install)
    with stack.working():
        lost, other = (server_of(stack, share) for share in shares_of_two_servers(stack))
        plan(stack, failing("ensure_server", "Unavailable", match=lost))
        stop_serving(stack, lost)
        wait_for(lambda: struck(stack))
        Event().wait(1)
        assert struck(stack) == 1, "twenty looks, one attempt"
        stop_serving(stack, other)
        wait_for(lambda: is_served(stack, other))
        assert not is_served(stack, lost)
        wait_for(lambda: stack.ask(lambda conn: conn.scalar(sa.select(services.c.unserved_share_servers))) == 1)


def test_one_whose_back_end_hangs_over_it_holds_no_other_up(install: Install) -> None:
    stack = watched(install)
    with stack.working():
        stuck, other = (server_of(stack, share) for share in shares_of_two_servers(stack))
        plan(stack, Fault(method="ensure_server", match=stuck, error="hang"))
        stop_serving(stack, stuck, other)
        wait_for(lambda: is_served(stack, other))
        assert not is_served(stack, stuck)
        plan(stack)
        wait_for(lambda: is_served(stack, stuck))


def test_a_back_end_that_cannot_tell_now_is_asked_again(install: Install) -> None:
    stack = watched(install)
    with stack.working():
        server = server_of(stack, shares_of_two_servers(stack)[0])
        plan(stack, Fault(method="unserved", error="Unavailable", times=1), Fault(method="unserved", error="bug", times=1))
        stop_serving(stack, server)
        wait_for(lambda: is_served(stack, server))
        assert struck(stack) == 2
