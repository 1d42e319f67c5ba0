"""Whatever clients ask for at the same moment: quotas, room and addresses are never given twice, everything that goes on is somebody's work,
a share is on all subnets of its server, and when all is deleted nothing is left.

Rounds of requests drawn from a seed, in threads that start together. For a few seconds here; `ABACA_CROWD_SECONDS=3600` goes on for long, with
another seed each time (`ABACA_CROWD_SEED` names one). An interleaving that was found to go wrong gets a test by name beside those of its noun.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from random import Random

import pytest

from tests.operations.conftest import Install
from tests.operations.crowd import Crowd
from tests.operations.scenarios import Ground
from tests.operations.scene import plan, slate

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
