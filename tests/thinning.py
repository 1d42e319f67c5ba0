"""Which tests a thinned run leaves out: `pytest --thinned`, which is what `make test` runs.

Four kinds are thinned, each drawn from the seed of the run (`tests.sample`), so that over some
runs all of them run: cases of large tables, marked `sampled(n)`, of which one in n runs; files that
set up much for few tests, marked `sampled_file(n)`, of which one in n runs, whole; tests of
directories in which each takes a second or two, of which each second one runs; and tests that run
on both kinds of database, of which one in ten runs on PostgreSQL, too. A module whose subject is
the database is marked `each_database`, and runs whole on both.

A sample four times as large (`ABACA_SAMPLE=4`, as `.ci/run` has it) takes four in n;
`ABACA_SAMPLE=all` leaves nothing out.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests import sample

EACH_SECOND = "tests/contracts/drivers/test_linux", "tests/migrations/", "tests/operations/"
ON_BOTH = "tests/api/", "tests/operations/"
POSTGRESQL = 10


def keep(items: Iterable[pytest.Item], kinds: Iterable[str]) -> set[pytest.Item]:
    """The tests that run, of those collected for these kinds of database. The same in each process
    of a run."""
    kept: set[pytest.Item] = set()
    groups: dict[tuple[str, int], list[pytest.Item]] = {}
    items = list(items)
    files = _files(items)
    for item in items:
        if _file(item) not in files:
            continue
        groups.setdefault((_file(item), _one_of(item, set(kinds))), []).append(item)
    for (file, one_of), members in groups.items():
        chosen = sample.offsets(one_of, f"tests of {file}")
        kept |= {item for place, item in enumerate(members) if place % one_of in chosen}
    return kept


def _files(items: Iterable[pytest.Item]) -> set[str]:
    """The files that run: those that are not sampled, and of the others one in so many."""
    found: dict[int, set[str]] = {}
    for item in items:
        marker = item.get_closest_marker("sampled_file")
        found.setdefault(int(marker.args[0]) if marker else 1, set()).add(_file(item))
    return {
        file
        for one_of, files in found.items()
        for place, file in enumerate(sorted(files))
        if place % one_of in sample.offsets(one_of, f"one file of {one_of}")
    }


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _one_of(item: pytest.Item, kinds: set[str]) -> int:
    sampled = item.get_closest_marker("sampled")
    one_of = int(sampled.args[0]) if sampled else 1
    if item.get_closest_marker("each_database"):
        return one_of
    parameters = getattr(item, "callspec", None)
    is_again = (
        len(kinds) > 1
        and _file(item).startswith(ON_BOTH)
        and parameters is not None
        and parameters.params.get("database_kind") == "postgresql"
    )
    if is_again:
        return one_of * POSTGRESQL
    is_drawn = sampled or item.get_closest_marker("sampled_file")
    return 2 if _file(item).startswith(EACH_SECOND) and not is_drawn else one_of
