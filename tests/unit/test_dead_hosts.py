"""How a look at other hosts asks: real fake back ends, no worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from abaca.db.session import create_engine
from abaca.domain.server_moves.failovers import Peer
from abaca.drivers.fake import FakeDriver
from abaca.drivers.fake.faults import Fault, write_plan
from abaca.reconcile.dead_hosts import DeadHosts
from abaca.workflow import deadlines
from abaca.workflow.runtime import Limits, Runtime
from abaca.workflow.slots import Slots
from tests.stack import wait_for

SECONDS = 0.5
Look = Callable[[], tuple[set[str], dict[str, str]]]
NAMES = [f"cluster@{name}" for name in ("alpha", "beta", "gamma", "delta")]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    url = f"sqlite:///{tmp_path / 'abaca.sqlite'}"
    engine = create_engine(url)
    limits = Limits(poll_interval=1, slots=Slots(1, 1), retry_seconds=1, call_seconds=3 * SECONDS)
    yield Runtime(url, engine, "host1", limits)
    engine.dispose()


@pytest.fixture
def look(runtime: Runtime, tmp_path: Path) -> Look:
    """Asks all back ends, each slow, about one host: where it answers, and where it was not asked,
    with why."""
    drivers = {
        name: FakeDriver(
            name,
            {
                "state_file": str(tmp_path / f"{name}.json"),
                "fault_plan": str(tmp_path / f"{name}.faults"),
                "delay_answering_ms": str(int(SECONDS * 1000)),
            },
        )
        for name in NAMES
    }
    dead_hosts = DeadHosts(
        runtime.engine, runtime, lambda: drivers, delay_seconds=10, pause_seconds=0
    )
    peer = Peer(
        name="host2",
        lives=True,
        is_fenced=False,
        places={name: ["host2"] for name in NAMES},
        servers=1,
        refusal=None,
    )

    def ask() -> tuple[set[str], dict[str, str]]:
        dead_hosts._was_held_up()  # by now
        found = dead_hosts._ask([peer])
        assert found is not None, "it was held up"
        answering, unasked = found
        return {name for name, _ in answering}, {name: why for (name, _), why in unasked.items()}

    return ask


def test_back_ends_are_asked_side_by_side(look: Look) -> None:
    began = time.monotonic()
    assert look() == (set(NAMES), {})
    assert time.monotonic() - began < (len(NAMES) - 1) * SECONDS


def test_a_back_end_that_does_not_come_back_is_asked_once(look: Look, tmp_path: Path) -> None:
    """It makes one look long, and takes no more than one of the calls that may hang."""
    plan = tmp_path / f"{NAMES[0]}.faults"
    write_plan(plan, [Fault(method="answering", error="hang")])
    others = set(NAMES[1:])
    answering, unasked = look()
    assert answering == others and "cannot tell" in unasked[NAMES[0]]
    for _ in range(2):
        answering, unasked = look()
        assert answering == others and "not answered an earlier question" in unasked[NAMES[0]]
        assert len(deadlines.hanging()) == 1
    write_plan(plan, [])
    wait_for(lambda: not deadlines.hanging(), 30)
    assert look() == (set(NAMES), {})
