"""When a pass runs again."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event

import pytest

from abaca.reconcile import passes

EVERY, TAKES = 1000.0, 0.05


class Pauses(Event):
    """Has passed at once, and ends the third pause. `seconds`: how long each was to be."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        return len(self.seconds) == 3


def pauses(every: float, *, is_paced: bool) -> Sequence[float]:
    stopping = Pauses()
    passes.repeat("a pass", lambda: Event().wait(TAKES), every, stopping, is_paced=is_paced)  # type: ignore[arg-type]
    return stopping.seconds


def test_a_paced_pass_is_counted_from_its_beginning() -> None:
    first, *others = pauses(EVERY, is_paced=True)
    assert first == EVERY
    assert all(each <= EVERY - TAKES for each in others)


def test_others_are_counted_from_their_end() -> None:
    assert pauses(EVERY, is_paced=False) == [EVERY] * 3


@pytest.mark.parametrize("every", [TAKES / 10, TAKES])
def test_one_that_takes_longer_than_it_may_still_rests(every: float) -> None:
    assert pauses(every, is_paced=True)[1:] == [every * passes.LEAST_REST] * 2
