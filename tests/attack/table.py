"""One attack after the other on its stage, judged by what it saw and by what honest clients saw before, during and after."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from threading import Event
from typing import Any, NamedTuple

from tests.attack.api_stage import api_stage
from tests.attack.data_stage import data_stage
from tests.attack.honest import Watched
from tests.attack.registry import Attack, Force, Seen
from tests.attack.work_stage import work_stage

STAGES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "data_plane": data_stage,
    "api_sqlite": partial(api_stage, "sqlite"),
    "api_postgresql": partial(api_stage, "postgresql"),
    "api_tls": partial(api_stage, "sqlite", tls=True),
    "work_sqlite": partial(work_stage, "sqlite"),
    "work_postgresql": partial(work_stage, "postgresql"),
}
CALM_SECONDS = 1.0  # that honest clients are watched before an attack, and after it
GONE_SECONDS = 2.0  # after it nothing of it is left
HUNG_SECONDS = 10.0  # one call, of an honest client that was to be spared
LIMIT_FACTOR = 3.0  # an honest client's p99: below the attack's limit, or below this many times what it was without the attack


class Outcome(NamedTuple):
    attack: Attack
    seen: Seen
    before: dict[str, Watched]
    during: dict[str, Watched]
    after: dict[str, Watched]

    def complaints(self, *, timed: bool) -> list[str]:
        """Why the wall does not hold; empty when it does. `timed`: how long honest clients waited counts, too."""
        said = [] if self.seen.holds else [self.seen.what]
        for when, stretch in (("during", self.during), ("after", self.after)):
            for server, watched in stretch.items():
                spared = server != "attacked" or self.attack.spares_server or when == "after"
                if spared and (watched.errors or watched.longest > HUNG_SECONDS):
                    said.append(f"{server}'s client {when}: {watched}")
                elif spared and timed and watched.p99 > max(self.attack.limit_seconds, LIMIT_FACTOR * self.before[server].p99):
                    said.append(f"{server}'s client was slow {when}: {watched}")
        return said


def run(attacks: Iterable[Attack], force: Force, calm: float = CALM_SECONDS) -> Iterator[Outcome]:
    """Each stage is set up once, for all its attacks."""
    chosen = list(attacks)
    for name in dict.fromkeys(attack.stage for attack in chosen):
        with STAGES[name]() as stage:
            for attack in chosen:
                if attack.stage == name:
                    yield outcome(attack, stage, force, calm)


def outcome(attack: Attack, stage: Any, force: Force, calm: float = CALM_SECONDS) -> Outcome:
    stage.watched()
    before = after_a_while(stage, calm)
    try:
        seen = attack.act(stage, force)
    except Exception as error:
        seen = Seen(False, f"the attack itself failed: {error!r}\n{traceback.format_exc()}")
    during = stage.watched()
    after_a_while(stage, GONE_SECONDS)
    return Outcome(attack, seen, before, during, after_a_while(stage, calm))


def after_a_while(stage: Any, seconds: float) -> dict[str, Watched]:
    Event().wait(seconds)
    found: dict[str, Watched] = stage.watched()
    return found
