"""Tables for people: Markdown, printed as they come and written to a file below bench/results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).with_name("results")


class Report:
    """One run's text: each part is printed at once, the whole is written after each part, so a run
    that is cut off leaves what it has."""

    def __init__(self, name: str) -> None:
        RESULTS.mkdir(exist_ok=True)
        self.path = RESULTS / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}.md"
        self._lines: list[str] = []

    def say(self, text: str) -> None:
        """A paragraph."""
        self._add([text, ""])

    def table(self, head: Sequence[str], body: Sequence[Sequence[str]]) -> None:
        """A table whose first column is text."""
        widths = [max(len(row[column]) for row in (head, *body)) for column in range(len(head))]
        lines = [
            _line(head, widths),
            "|" + "|".join("-" * (width + 2) for width in widths) + "|",
            *(_line(row, widths) for row in body),
            "",
        ]
        self._add(lines)

    def _add(self, lines: list[str]) -> None:
        self._lines += lines
        print("\n".join(lines), flush=True)
        self.path.write_text("\n".join(self._lines), encoding="utf-8")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return (
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        + " |"
    )


def ms(seconds: float) -> str:
    """Milliseconds with as many digits as make sense."""
    value = seconds * 1000
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def number(value: float) -> str:
    """A rate or a ratio with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
