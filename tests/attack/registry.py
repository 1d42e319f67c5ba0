"""What an attack is, and where all of them are found."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

FOLDERS = ("tests.attack.data_plane", "tests.attack.api", "tests.attack.work")


class Seen(NamedTuple):
    """What the attacker found."""

    holds: bool  # the wall
    what: str  # one line, with the figures


@dataclass(frozen=True)
class Force:
    """How hard to attack: `full` for the table, `short` for `make test`."""

    count: int  # of connections, clients, opens, …
    seconds: float  # that a flood lasts


FULL = Force(10_000, 6.0)
SHORT = Force(1_500, 1.5)

LIMIT_SECONDS = 0.25  # a call

Act = Callable[[Any, Force], Seen]


@dataclass(frozen=True)
class Attack:
    """`spares_server`: honest clients of the attacked server, too, see nothing of it; else only
    those of other servers do not.

    `order`: attacks with a higher one come later; what fills a stage comes last. `limit_seconds`:
    what honest clients may wait (p99) at least. `at_once`: attacks for which it is the same text,
    and not empty, are run at the same time. For those that mostly wait.
    """

    name: str
    stage: str
    act: Act
    spares_server: bool
    order: int
    is_in_suite: bool  # `make test` has it anyway
    limit_seconds: float
    at_once: str


ATTACKS: dict[str, Attack] = {}


def attack(
    name: str,
    *,
    stage: str = "data_plane",
    spares_server: bool = True,
    order: int = 0,
    is_in_suite: bool = False,
    limit_seconds: float = LIMIT_SECONDS,
    at_once: str = "",
) -> Callable[[Act], Act]:
    """Mark a function as the attack `name` on the stage of this name (`stages.STAGES`)."""

    def mark(act: Act) -> Act:
        assert name not in ATTACKS, f"two attacks are called {name}"
        ATTACKS[name] = Attack(
            name, stage, act, spares_server, order, is_in_suite, limit_seconds, at_once
        )
        return act

    return mark


def all_attacks() -> list[Attack]:
    """Every attack, in the order in which they are run."""
    for folder in FOLDERS:
        package = importlib.import_module(folder)
        for module in pkgutil.iter_modules(package.__path__, f"{folder}."):
            importlib.import_module(module.name)
    return sorted(ATTACKS.values(), key=lambda found: (found.stage, found.order))
