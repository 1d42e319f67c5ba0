"""Parts of the API's front door by themselves: turns, bounds, and who is believed to be whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock

import pytest
from oslo_config import cfg

from abaca.api.door.checks import Checks
from abaca.api.door.connections import Connections
from abaca.api.door.environment import Proxies, neighbourhood, plain_address
from abaca.api.door.refusals import Busy, ClientGone
from abaca.api.door.threads import RequestThreads
from abaca.api.priority import is_background
from tests.stack import wait_for


class Order:
    """Work that notes its name when it is done, and work that waits until it may end."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.go = Event()
        self.held = 0
        self._lock = Lock()

    def work(self, name: str) -> Callable[[], None]:
        return lambda: self._note(name)

    def hold(self) -> None:
        with self._lock:
            self.held += 1
        assert self.go.wait(20)

    def _note(self, name: str) -> None:
        with self._lock:
            self.done.append(name)


def test_clients_take_turns_for_the_threads() -> None:
    threads, order = RequestThreads(1), Order()
    threads.carry_out("x", order.hold)
    wait_for(lambda: order.held == 1, 5)
    for number in range(50):
        threads.carry_out("flood", order.work(f"flood-{number}"))
    threads.carry_out("honest", order.work("honest"))
    order.go.set()
    wait_for(lambda: len(order.done) == 51, 10)
    assert order.done.index("honest") == 1


def test_what_waits_for_the_threads_is_bounded_for_a_client_and_in_all() -> None:
    threads, order = RequestThreads(1), Order()
    threads.carry_out("x", order.hold)
    wait_for(lambda: order.held == 1, 5)
    for _ in range(128):
        threads.carry_out("one", order.work("one"))
    with pytest.raises(Busy):
        threads.carry_out("one", order.work("one"))
    threads.carry_out("other", order.work("other"))
    with pytest.raises(Busy):
        for number in range(600):
            threads.carry_out(f"client-{number}", order.work("many"))
    order.go.set()
    wait_for(lambda: len(order.done) == 512, 10)


def test_a_few_clients_leave_places_for_others() -> None:
    """However much six of them want, for however long."""
    threads, order = RequestThreads(1), Order()
    threads.carry_out("x", order.hold)
    wait_for(lambda: order.held == 1, 5)
    for number in range(6 * 128):
        with suppress(Busy):
            threads.carry_out(f"flood-{number % 6}", order.work("flood"))
    for _ in range(30):
        threads.carry_out("honest", order.work("honest"))
    order.go.set()
    wait_for(lambda: order.done.count("honest") == 30, 10)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_request_leaves_the_threads_as_many() -> None:
    threads, order = RequestThreads(2), Order()
    for _ in range(10):
        threads.carry_out("x", lambda: [][0])
    for number in range(10):
        threads.carry_out("x", order.work(str(number)))
    wait_for(lambda: len(order.done) == 10, 10)


@pytest.mark.parametrize(
    ("priority", "waits"),
    [
        (None, False),
        ("", False),
        ("u=3", False),
        ("u=5, i", False),
        ("u=6", True),
        ("u=7, i", True),
        ("i,u=6;x=1", True),
        ("i, u=6", True),
        ("u=66", False),
        ("u=6x", False),
        ("xu=6", False),
        ("u=2, u=6", True),
        ("u=6, i, u=2", False),
    ],
)
def test_an_urgency_of_6_or_7_says_that_a_request_can_wait(
    priority: str | None, waits: bool
) -> None:
    environ = {} if priority is None else {"HTTP_PRIORITY": priority}
    assert is_background(environ) == waits


def test_checks_take_turns_between_clients_then_between_names_and_equal_ones_are_one() -> None:
    async def ask() -> list[str]:
        checks, order = Checks(1), Order()
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def outcome(client: str, name: str, same: str) -> asyncio.Task[object]:
            return asyncio.ensure_future(
                checks.outcome(client, name, same, order.work(same), never)
            )

        held = asyncio.ensure_future(checks.outcome("x", "x", "held", order.hold, never))
        await asyncio.sleep(0.05)
        tasks = [outcome("flood", "mary", f"mary-{number}") for number in range(10)]
        tasks += [outcome("flood", "mary", "mary-9") for _ in range(10)]
        tasks += [outcome("flood", "anna", "anna"), outcome("elsewhere", "mary", "right")]
        await asyncio.sleep(0.05)
        order.go.set()
        await asyncio.gather(held, *tasks)
        return order.done

    done = asyncio.run(ask())
    assert done[:3] == ["mary-0", "right", "anna"] and done.count("mary-9") == 1 and len(done) == 12


def test_a_check_that_nobody_waits_for_is_not_begun_and_a_full_lane_is_told() -> None:
    async def ask() -> list[str]:
        checks, order = Checks(1), Order()
        loop = asyncio.get_running_loop()
        never, gone = loop.create_future(), loop.create_future()
        held = asyncio.ensure_future(checks.outcome("x", "x", "held", order.hold, never))
        await asyncio.sleep(0.05)
        waiting = [
            asyncio.ensure_future(checks.outcome("a", "mary", f"{n}", order.work(f"{n}"), gone))
            for n in range(16)
        ]
        await asyncio.sleep(0.05)
        with pytest.raises(Busy):
            await checks.outcome("a", "mary", "more", order.work("more"), never)
        other = asyncio.ensure_future(
            checks.outcome("b", "mary", "other", order.work("other"), never)
        )
        gone.set_result(None)
        for each in waiting:
            with pytest.raises(ClientGone):
                await each
        order.go.set()
        await asyncio.gather(held, other)
        assert await checks.outcome("a", "mary", "0", order.work("0 again"), never) is None
        return order.done

    assert asyncio.run(ask()) == ["other", "0 again"]


def test_new_connections_of_one_address_are_limited_in_a_second_others_are_not() -> None:
    connections = Connections(1, 256, Proxies(["10.0.0.1"]))
    now = time.perf_counter()
    admitted = [connections.admit(f"192.0.2.1:{port}", now) for port in range(2000)]
    assert admitted.count(True) == 500 and all(admitted[:500])
    assert connections.admit("192.0.2.1:3", now), "a connection that was admitted stays so"
    assert connections.admit("192.0.2.2:1", now)
    assert all(connections.admit(f"10.0.0.1:{port}", now) for port in range(2000))
    assert connections.admit("192.0.2.1:5000", now + 1.1)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("1.2.3.4, 203.0.113.9", "203.0.113.9"),  # the first may be anybody's invention
        ("203.0.113.9, 10.0.0.7", "203.0.113.9"),
        ("203.0.113.9, nonsense", None),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("10.0.0.7", None),
        ("", None),
    ],
)
def test_the_client_behind_proxies_is_the_last_that_is_none(
    forwarded: str, client: str | None
) -> None:
    assert Proxies(["10.0.0.0/8", "fd00::/8"]).client(forwarded) == client


def test_what_counts_as_one_client() -> None:
    assert plain_address("::ffff:192.0.2.1") == plain_address("[::ffff:192.0.2.1]") == "192.0.2.1"
    assert plain_address("[fe80::1%2]") == "fe80::1"
    assert (
        neighbourhood("2001:db8:1:2:3::4")
        == neighbourhood("2001:db8:1:2::9")
        != neighbourhood("2001:db8:1:3::9")
    )
    assert neighbourhood("192.0.2.1") == "192.0.2.1"


def test_a_proxy_that_is_no_network_is_refused() -> None:
    with pytest.raises(cfg.Error, match="trusted_proxies"):
        Proxies(["proxy.example.org"])
