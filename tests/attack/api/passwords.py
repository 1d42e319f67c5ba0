"""Wrong passwords, while somebody logs in for the first time."""

from __future__ import annotations

import time

from tests.attack.api import on_each_database
from tests.attack.api_stage import ATTACKER, KNOWN, ApiStage, send, time_passes
from tests.attack.registry import Force, Seen
from tests.raw_http import basic, request


def wrong(number: int, names: list[str]) -> bytes:
    """A request with a password that nobody has."""
    return request(
        "GET",
        "/v2/types",
        credentials=basic(names[number % len(names)], f"wrong-{time.monotonic()}-{number}"),
    )


@on_each_database("wrong passwords, clients that wait")
def waiting(stage: ApiStage, force: Force) -> Seen:
    """200 at once and 20 a second, half of them for users who exist."""
    return _flood(stage, force, [*KNOWN, "nobody", "admin", "root", "x"], ATTACKER)


@on_each_database("wrong passwords from the address of the honest client")
def same_address(stage: ApiStage, force: Force) -> Seen:
    """Where addresses tell nothing apart, names do: of those that exist, the attacker knows one."""
    return _flood(stage, force, [KNOWN[0], "nobody", "admin", "x"], "127.0.0.1", turns=6)


@on_each_database("wrong passwords, clients that go at once")
def gone(stage: ApiStage, force: Force) -> Seen:
    """Each would take a quarter of a second of CPU."""
    before = stage.first_login()
    cpu = time.thread_time()
    number = force.count // 20
    for which in range(number):
        link = stage.connect()
        if link is not None:
            send(link, wrong(which, KNOWN))
            link.close()
    during = stage.first_login()
    return stage.seen(
        force, f"{number} connections", time.thread_time() - cpu, logins=(before, during)
    )


def _flood(stage: ApiStage, force: Force, names: list[str], source: str, turns: int = 3) -> Seen:
    before = stage.first_login()
    cpu, number = time.thread_time(), 0
    with stage.crowd(200, source=source) as links:
        for number, link in enumerate(links):
            send(link, wrong(number, names))
        began, more = time.monotonic(), []
        during = stage.first_login()
        while time.monotonic() - began < force.seconds:
            for _ in range(2):
                number += 1
                link_or_none = stage.connect(source)
                if link_or_none is not None:
                    more.append(link_or_none)
                    send(link_or_none, wrong(number, names))
            time_passes()
        during = max(during, stage.first_login())
        for link in more:
            link.close()
    return stage.seen(
        force,
        f"{number} wrong passwords",
        time.thread_time() - cpu,
        logins=(before, during),
        turns=turns,
    )
