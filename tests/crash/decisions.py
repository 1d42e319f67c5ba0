"""Decisions drawn from a seed: what comes next, on which of the things that are there, and when.
The same seed draws the same sequence.

A decision knows nothing of what is there: whoever carries it out takes its dice modulo what there
is to choose from.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import NamedTuple

DICE = 4
SIDES = 2**16


class Decision(NamedTuple):
    """`kind`, `DICE` numbers to choose with, and seconds to wait before it."""

    kind: str
    dice: tuple[int, ...]
    pause: float


def decisions(
    seed: int, who: str, weights: Mapping[str, int], shortest: float, longest: float
) -> Iterator[Decision]:
    """Without an end: kinds by their weights, pauses between two bounds. Each `who` has a sequence
    of its own."""
    draw = random.Random(f"{seed}/{who}")
    kinds = sorted(weights)
    chances = [weights[kind] for kind in kinds]
    while True:
        (kind,) = draw.choices(kinds, chances)
        yield Decision(
            kind, tuple(draw.randrange(SIDES) for _ in range(DICE)), draw.uniform(shortest, longest)
        )
