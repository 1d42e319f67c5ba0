"""Counting together: processes that end, are killed, and are more than there are parts."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from threading import Thread

import pytest

from abaca.api.shared_counts import PART_BYTES, SharedCounts

FORK = get_context("fork")


def in_process(counts: SharedCounts, work: Callable[[], None]) -> None:
    """`work` in a process of its own that has a part."""

    def run() -> None:
        counts.take_part()
        work()

    process = FORK.Process(target=run)
    process.start()
    process.join(60)
    assert process.exitcode == 0


def test_a_process_alone_counts_for_itself() -> None:
    counts = SharedCounts()
    for numbers in ([1, 0, 0.5], [0, 1, 2.25]):
        counts.add(("requests", "GET"), numbers)
    counts.add(("logins",), [3])
    assert counts.totals() == {("requests", "GET"): [1, 1, 2.75], ("logins",): [3]}


def test_processes_count_together_and_one_that_comes_later_goes_on() -> None:
    """Three one after the other, more than there are parts, then two at once.

    Keys are of all lengths, so that rows end anywhere.
    """
    counts = SharedCounts()
    counts.add(("forgotten",), [1])
    counts.share(2)
    keys = [("k" * length, "é") for length in range(20)]

    def work() -> None:
        for key in keys:
            counts.add(key, [1, 0.5])

    for _ in range(3):
        in_process(counts, work)
    counts.take_part()
    in_process(counts, work)
    work()
    assert counts.totals() == {key: [5, 2.5] for key in keys}


def test_a_process_that_finds_no_free_part_counts_alone() -> None:
    counts = SharedCounts()
    counts.share(1)
    counts.take_part()
    counts.add(("shared",), [1])

    def work() -> None:
        counts.add(("alone",), [1])
        assert counts.totals() == {("shared",): [1], ("alone",): [1]}

    in_process(counts, work)
    assert counts.totals() == {("shared",): [1]}


def test_the_part_of_a_killed_process_is_free_and_whole() -> None:
    counts = SharedCounts()
    counts.share(1)
    counted, told = FORK.Pipe(duplex=False)

    def endless() -> None:
        counts.take_part()
        told.send(None)
        number = 0
        while True:
            counts.add((str(number % 20_000),), [1, 1])
            number += 1

    process = FORK.Process(target=endless)
    process.start()
    counted.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    before = counts.totals()
    in_process(counts, lambda: counts.add(("0",), [1, 1]))
    after = counts.totals()
    zero = before.pop(("0",), [0, 0])
    assert after.pop(("0",)) == [number + 1 for number in zero] and after == before


def test_threads_lose_nothing() -> None:
    counts = SharedCounts()

    def work() -> None:
        for number in range(2000):
            counts.add((str(number % 50),), [1])

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts.totals() == {(str(number),): [160] for number in range(50)}


def test_what_no_room_is_left_for_is_not_counted() -> None:
    counts = SharedCounts()
    rows = PART_BYTES // 1000
    for number in range(rows + 1):
        counts.add((f"{number:1000}",), [1])
    kept = counts.totals()
    assert 0 < len(kept) < rows
    for key in (next(iter(kept)), ("x" * 1000,)):
        counts.add(key, [1])
    assert counts.totals() == {**kept, next(iter(kept)): [2]}


def test_more_memory_than_there_is_is_refused_at_once() -> None:
    with pytest.raises(OSError):
        SharedCounts().share(2**30)
