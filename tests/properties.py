"""Hypothesis with this project's settings: tests import it from here, and nothing else does.

`tests/conftest.py` does not set it up, since importing hypothesis takes a second of every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: TID251 - the one place
from hypothesis import strategies as st  # noqa: TID251

from tests import sample

__all__ = ["Phase", "drawn", "given", "settings", "st"]

Test = TypeVar("Test", bound=Callable[..., None])

settings.register_profile("untimed", deadline=None)  # a busy machine is no fault of what is tested
settings.load_profile("untimed")


def drawn(
    examples: int, what: str, phases: Sequence[Phase] = (Phase.generate,)
) -> Callable[[Test], Test]:
    """A decorator above `@given`: so many examples, drawn from the seed of this run, as often as
    they are needed; none is remembered for the next run. `what`: tests that differ in it draw
    different ones."""
    quiet = settings(
        max_examples=examples,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    return lambda test: seed(sample.number(what))(quiet(test))
