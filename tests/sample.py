"""How much of what could be tried is tried in this run, and which part of it.

`ABACA_SEED` chooses the part: drawn by the first process of a run, inherited by the others, and
printed. `ABACA_SAMPLE` makes every sample that many times as large; `all` leaves nothing out.
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

SEED = os.environ.setdefault("ABACA_SEED", secrets.token_hex(4))
_SIZE = os.environ.get("ABACA_SAMPLE", "1")
IS_ALL = _SIZE == "all"
FACTOR = 1 if IS_ALL else int(_SIZE)


def told() -> str:
    """For the head of a run: what repeats it."""
    return f"samples: ABACA_SEED={SEED} ABACA_SAMPLE={_SIZE}"


def number(what: str) -> int:
    """A seed of 32 bits for what draws by itself."""
    return random.Random(f"{SEED} {what}").getrandbits(32)


def offsets(one_of: int, what: object, *, grows: bool = True) -> set[int]:
    """Numbers below `one_of`: one of them, or if it `grows`, as many as the sample is larger. The
    same in all processes for the same `what`."""
    if IS_ALL:
        return set(range(one_of))
    draw = random.Random(f"{SEED} {what}")
    return set(draw.sample(range(one_of), min(one_of, FACTOR if grows else 1)))


def sample(every: Sequence[T], one_of: int, *, grows: bool = True) -> list[T]:
    """One element of so many, evenly spread. What is sampled within a sample does not grow with
    it."""
    chosen = offsets(one_of, every, grows=grows)
    return [element for place, element in enumerate(every) if place % one_of in chosen]
