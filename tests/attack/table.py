"""Attacks on their stages, one after the other or some at once, judged by what they saw and by what
honest clients saw before, during and after."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
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
CALM_SECONDS = 1.0  # that honest clients are watched after an attack, which is before the next one
GONE_SECONDS = 2.0  # after it nothing of it is left
HUNG_SECONDS = 10.0  # one call, of an honest client that was to be spared
# an honest client's p99: below the attack's limit, or below this many times what it was without the
# attack
LIMIT_FACTOR = 3.0


class Outcome(NamedTuple):
    attack: Attack
    seen: Seen
    before: dict[str, Watched]
    during: dict[str, Watched]
    after: dict[str, Watched]
    seconds: float  # that all of it took, with what was run at once

    def complaints(self, *, timed: bool) -> list[str]:
        """Why the wall does not hold; empty when it does. `timed`: how long honest clients waited
        counts, too."""
        said = [] if self.seen.holds else [self.seen.what]
        for when, stretch in (("during", self.during), ("after", self.after)):
            for server, watched in stretch.items():
                spared = server != "attacked" or self.attack.spares_server or when == "after"
                if spared and (watched.errors or watched.longest > HUNG_SECONDS):
                    said.append(f"{server}'s client {when}: {watched}")
                elif (
                    spared
                    and timed
                    and watched.p99
                    > max(self.attack.limit_seconds, LIMIT_FACTOR * self.before[server].p99)
                ):
                    said.append(f"{server}'s client was slow {when}: {watched}")
        return said


def run(attacks: Iterable[Attack], force: Force, calm: float = CALM_SECONDS) -> Iterator[Outcome]:
    """Each stage is set up once, before the first of its attacks, and taken away after the last of
    them."""
    waiting = groups(attacks)
    stages: dict[str, Any] = {}
    after: dict[str, dict[str, Watched]] = {}
    with ExitStack() as opened:
        takers: dict[str, ExitStack] = {}
        while waiting:
            group = waiting.pop(0)
            for name in {attack.stage for attack in group} - stages.keys():
                takers[name] = opened.enter_context(ExitStack())
                stages[name] = takers[name].enter_context(STAGES[name]())
            for found in outcomes(group, stages, force, calm, after):
                after[found.attack.stage] = found.after
                yield found
            for name in stages.keys() - {attack.stage for each in waiting for attack in each}:
                takers.pop(name).close()
                del stages[name]


def groups(attacks: Iterable[Attack]) -> list[list[Attack]]:
    """Those that are run at once, by stages in the order given. Of each stage those on it alone
    come first, so that nothing else runs beside them."""
    found: dict[str, list[Attack]] = {}
    for attack in attacks:
        found.setdefault(attack.at_once or attack.name, []).append(attack)
    order = list(dict.fromkeys(group[0].stage for group in found.values()))
    return sorted(
        found.values(),
        key=lambda group: (order.index(group[0].stage), len({attack.stage for attack in group})),
    )


def outcomes(
    group: Sequence[Attack],
    stages: Mapping[str, Any],
    force: Force,
    calm: float = CALM_SECONDS,
    before: Mapping[str, dict[str, Watched]] | None = None,
) -> list[Outcome]:
    """Of attacks at the same time. `before`: what honest clients saw of a stage in calm, where that
    is known already: after the last attack."""
    began, known = time.monotonic(), before or {}
    own = {attack.stage: stages[attack.stage] for attack in group}
    watch(own)
    calmly = (
        {name: known[name] for name in own}
        if own.keys() <= known.keys()
        else after_a_while(own, calm)
    )
    with ThreadPoolExecutor(len(group), thread_name_prefix="attack") as threads:
        seen = list(threads.map(lambda attack: acted(attack, own[attack.stage], force), group))
    during = watch(own)
    after_a_while(own, GONE_SECONDS)
    after = after_a_while(own, calm)
    seconds = time.monotonic() - began
    return [
        Outcome(
            attack, found, calmly[attack.stage], during[attack.stage], after[attack.stage], seconds
        )
        for attack, found in zip(group, seen, strict=True)
    ]


def acted(attack: Attack, stage: Any, force: Force) -> Seen:
    try:
        return attack.act(stage, force)
    except Exception as error:
        return Seen(False, f"the attack itself failed: {error!r}\n{traceback.format_exc()}")


def after_a_while(stages: Mapping[str, Any], seconds: float) -> dict[str, dict[str, Watched]]:
    Event().wait(seconds)
    return watch(stages)


def watch(stages: Mapping[str, Any]) -> dict[str, dict[str, Watched]]:
    """What honest clients of each stage saw since they were asked last."""
    return {name: stage.watched() for name, stage in stages.items()}
