"""Progress of long commands: what a terminal and a log see of it."""

from __future__ import annotations

import io

import pytest

from abaca.admin.progress import Progress, progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Each look at it is one second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def told(stream: io.StringIO, total: int, steps: int) -> str:
    shown = Progress("rows", total, stream, Clock())
    for number in range(steps):
        shown.done(what=f"table {number}\x1b[2J")
    shown.close()
    return stream.getvalue()


def test_a_terminal_gets_a_bar_that_is_cleared_at_the_end() -> None:
    text = told(Terminal(), 4, 4)
    assert "[#######.......................] rows: 1 of 4, table 0" in text
    assert f"[{'#' * 30}] rows: 4 of 4, table 3" in text
    assert text.endswith("\r\x1b[K") and "\n" not in text


def test_a_log_gets_a_line_now_and_then() -> None:
    lines = told(io.StringIO(), 20, 20).splitlines()
    assert 2 <= len(lines) <= 5 and all(line.startswith("rows: ") for line in lines)


def test_what_was_done_steers_no_terminal() -> None:
    assert "\x1b[2J" not in told(Terminal(), 4, 4)


def test_more_than_the_total_and_no_total_are_shown_too() -> None:
    assert f"[{'#' * 30}] rows: 3 of 2" in told(Terminal(), 2, 3)
    assert "\r\x1b[Krows: 2, table 1" in told(Terminal(), 0, 2)


def test_it_is_silent_when_that_is_asked_and_never_on_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for is_quiet in (True, False):
        with progress("rows", 1, is_quiet=is_quiet) as shown:
            shown.done()
    assert capsys.readouterr() == ("", "")


def test_what_is_being_done_is_on_a_terminal_before_it_is_done() -> None:
    """However soon after the last drawing it begins."""
    for stream, is_shown in ((Terminal(), True), (io.StringIO(), False)):
        shown = Progress("steps", 3, stream, lambda: 0.0)
        shown.done()
        shown.doing("5 folders\x1b[2J")
        assert ("steps: 1 of 3, 5 folders\\x1b[2J" in stream.getvalue()) == is_shown
