"""How many places walks have tried in a run, for its summary. Each process of the run counts its
own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

WHERE = ("SQLite", "PostgreSQL", "Linux", "CephFS")


class Report:
    """What was walked. `where`: one of WHERE."""

    def __init__(self) -> None:
        self._steps: set[tuple[str, str]] = set()
        self._places: Counter[tuple[str, str]] = Counter()
        self._differences = 0

    def walked(self, workflow: str, steps: Iterable[str]) -> None:
        """A workflow takes these steps when nobody disturbs it."""
        self._steps |= {(workflow, step) for step in steps}

    @contextmanager
    def trying(self, what: str, where: str) -> Iterator[None]:
        """A kill, or a failure, at one place, and the comparison of where it ends."""
        self._places[where, what] += 1
        try:
            yield
        except AssertionError:
            self._differences += 1
            raise

    def told(self) -> dict[str, Any]:
        """For the process that puts everything together."""
        return {
            "steps": list(self._steps),
            "places": list(self._places.items()),
            "differences": self._differences,
        }

    def add(self, told: dict[str, Any]) -> None:
        """Count what another process has told."""
        self._steps |= {(workflow, step) for workflow, step in told["steps"]}
        for (where, what), number in told["places"]:
            self._places[where, what] += number
        self._differences += told["differences"]

    def lines(self) -> list[str]:
        """Nothing when nothing was walked."""
        if not self._steps:
            return []
        from abaca.operations.all import WORKFLOWS  # only here: it takes a second

        workflows = {workflow for workflow, _ in self._steps}
        known = {workflow.__name__ for workflow in WORKFLOWS}
        kills, failures = (
            sum(n for (_, of), n in self._places.items() if of == what)
            for what in ("kills", "failures")
        )
        counted = (
            f"{len(workflows & known)} of {len(known)} workflows, {len(self._steps)} steps, "
            f"{kills} kills, {failures} failures injected"
        )
        lines = [f"walked: {counted}; differences: {self._differences}"]
        for place in WHERE:
            on = {what: self._places[place, what] for what in ("kills", "failures")}
            lines.append(
                f"  on {place}: {sum(on.values())} places: {on['kills']} kills, {on['failures']} "
                "failures"
            )
        return lines


REPORT = Report()
