"""Rows of lists that are kept encoded: what has changed is made anew, what is gone is left out, and
no more is kept than allowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from abaca.api.row_cache import Found, RowCache


class Rows:
    """Rows by id with a version each, that note which of them are read whole."""

    def __init__(self, *ids: str) -> None:
        self.versions = dict.fromkeys(ids, 0)
        self.read: list[str] = []

    def found(self, *ids: str) -> list[Found]:
        return [Found(id_, (self.versions[id_],)) for id_ in ids or self.versions]

    def make(self, ids: list[str]) -> Iterator[tuple[Found, Any]]:
        self.read += ids
        return (
            (Found(id_, (self.versions[id_],)), [id_, self.versions[id_]])
            for id_ in ids
            if id_ in self.versions
        )


def shown(
    kept: RowCache, rows: Rows, found: list[Found] | None = None, kind: str = "a"
) -> list[list[Any]]:
    return [
        msgspec.json.decode(raw)
        for raw in kept.rows(kind, rows.found() if found is None else found, rows.make)
    ]


def test_only_what_is_new_or_changed_is_read() -> None:
    kept, rows = RowCache(10_000), Rows("x", "y", "z")
    assert shown(kept, rows) == [["x", 0], ["y", 0], ["z", 0]]
    rows.read.clear()
    assert shown(kept, rows, rows.found("z", "x")) == [["z", 0], ["x", 0]]
    assert rows.read == []
    rows.versions["y"] = 1
    assert shown(kept, rows) == [["x", 0], ["y", 1], ["z", 0]]
    assert rows.read == ["y"]


def test_a_row_that_changes_between_two_reads_is_as_it_is_now_and_one_that_goes_is_left_out() -> (
    None
):
    kept, rows = RowCache(10_000), Rows("x", "y", "z")
    found = rows.found()
    rows.versions["x"] = 5
    del rows.versions["y"]
    assert shown(kept, rows, found) == [["x", 5], ["z", 0]]
    rows.read.clear()
    assert shown(kept, rows) == [["x", 5], ["z", 0]]
    assert rows.read == []


def test_kinds_do_not_mix() -> None:
    kept, rows = RowCache(10_000), Rows("x")
    shown(kept, rows)
    shown(kept, rows, kind="b")
    assert rows.read == ["x", "x"]


def test_no_more_is_kept_than_allowed_and_the_oldest_goes_first() -> None:
    kept, rows = RowCache(1300), Rows("x", "y", "z")  # two rows, with what is beside them
    assert len(shown(kept, rows)) == 3, "what is shown is not limited"
    rows.read.clear()
    shown(kept, rows, rows.found("y", "z"))
    assert rows.read == []
    shown(kept, rows, rows.found("x"))
    assert rows.read == ["x"]

    for kind in range(100):
        shown(kept, rows, kind=str(kind))
    rows.read.clear()
    shown(kept, rows, rows.found("z"), kind="a")
    assert rows.read == ["z"], "kinds that nobody asks for go, too"


def test_bytes_are_bounded_whatever_rows_hold_and_however_many_kinds_there_are() -> None:
    kept = RowCache(1_000_000)
    for number in range(300):
        ids = [f"{number}-{row}" for row in range(20)]
        made = kept.rows(
            number % 50,
            [Found(id_, (0,)) for id_ in ids],
            lambda wanted: [(Found(id_, (0,)), "x" * 30_000) for id_ in wanted],
        )
        assert len(made) == 20
        assert kept.bytes <= 1_000_000
    kept.rows("a", [Found("large", (0,))], lambda _: [(Found("large", (0,)), "x" * 2_000_000)])
    assert kept.bytes <= 1_000_000


def test_a_row_that_changes_counts_once() -> None:
    kept, rows = RowCache(10_000), Rows("x")
    for version in range(100):
        rows.versions["x"] = version
        shown(kept, rows)
    assert kept.bytes < 1300


def test_nothing_is_kept_when_that_is_said() -> None:
    kept, rows = RowCache(0), Rows("x")
    assert shown(kept, rows) == shown(kept, rows) == [["x", 0]]
    assert rows.read == ["x", "x"]
