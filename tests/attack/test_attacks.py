"""Every attack, with little force: walls hold, and honest clients have all their calls answered.
`make attack` uses full force and times them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.attack.registry import SHORT, Attack, all_attacks
from tests.attack.table import STAGES, outcomes
from tests.contracts.drivers import linux_backend

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow("honest clients are watched before, during and after each attack"),
    pytest.mark.timeout(180),
    pytest.mark.sampled(16),  # each takes five seconds or more, of watching honest clients
]

CALM_SECONDS = 0.5


@pytest.fixture(scope="module")
def stages() -> Iterator[dict[str, Any]]:
    """Those that were needed, by name; each is set up once."""
    with ExitStack() as opened:

        class Stages(dict[str, Any]):
            def __missing__(self, name: str) -> Any:
                if name == "data_plane" and (reason := linux_backend.unavailable_reason()):
                    pytest.skip(reason)
                self[name] = opened.enter_context(STAGES[name]())
                return self[name]

        yield Stages()


@pytest.mark.parametrize(
    "attack",
    [attack for attack in all_attacks() if not attack.is_in_suite],
    ids=lambda attack: attack.name.replace(" ", "-"),
)
def test_the_wall_holds(stages: dict[str, Any], attack: Attack) -> None:
    (found,) = outcomes([attack], stages, SHORT, CALM_SECONDS)
    assert found.complaints(timed=False) == []
